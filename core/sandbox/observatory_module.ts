/** What a plugin gets when it imports "observatory": the contract without its types. */

import { CONTRACT } from "../contract_text.ts";
import { stripTypes } from "./strip.ts";
import { verifySource } from "./verify_source.ts";

/** The module that is made of the contract. */
export interface ObservatoryModule {
  readonly text: string;
  /** The names that can be imported from it; all others are types. */
  readonly exports: ReadonlySet<string>;
}

let made: Promise<ObservatoryModule> | undefined;

/** Makes the module, once: its places are of no interest, so what was a type or a comment goes. */
export function observatoryModule(): Promise<ObservatoryModule> {
  return made ??= make();
}

async function make(): Promise<ObservatoryModule> {
  const path = "core/plugin.ts";
  const { text, exports } = await verifySource(await stripTypes(CONTRACT, path), path);
  const lines = text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "");
  return { text: `${lines.join("\n")}\n`, exports };
}
