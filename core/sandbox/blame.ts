/** Blames a plugin: by its name, and the place in its own source. */

import { DatabaseError, OperationError } from "../plugin.ts";
import { type ErrorData, unpackError } from "./guest/errors.mjs";

/** Why a plugin is blamed. */
export type BlameCode =
  | "plugin_failed"
  | "plugin_hung"
  | "plugin_memory"
  | "plugin_protocol"
  | "plugin_invalid"
  | "plugin_incompatible";

/** Who is blamed. */
export interface Blamed {
  readonly name: string;
  /** The source of each file, by the address that it was loaded from. */
  readonly origins: Readonly<Record<string, string>>;
}

/** The classes of this side. */
export const CLASSES = { OperationError, DatabaseError };

/** Makes the error that blames a plugin. */
export function blame(
  { name }: Pick<Blamed, "name">,
  code: BlameCode,
  options: {
    readonly message: string;
    readonly hint?: string;
    readonly excerpt?: string;
    /** The place in its source. */
    readonly at?: string;
  },
): OperationError {
  const { message, at, ...rest } = options;
  return new OperationError(`Plugin ${name} ${message}`, {
    code,
    ...rest,
    details: { plugin: name, ...(at === undefined ? {} : { at }) },
  });
}

/**
 * The error of a plugin as the host goes on with it: what the plugin throws in words for people
 * stays as it is, and what one of its calls failed with gets the place of the call; anything else
 * blames the plugin, with its place.
 */
export function blamedError(data: ErrorData, plugin: Blamed, did = "failed"): Error {
  if (data.class !== "other") return unpackError(withPlace(data, plugin), CLASSES);
  const frames = framesOf(data.stack ?? "", plugin.origins);
  const at = frames[0] === undefined ? undefined : placeIn(frames[0]);
  const said = data.name === "Error" ? data.message : `${data.name}: ${data.message}`;
  const needs = data.name === "NotCapable";
  return blame(plugin, "plugin_failed", {
    // What the runtime says of its own flags is nothing for who uses this program.
    message: `${did}: ${sourcesIn(needs ? said.replace(RUNTIME_FLAGS, "") : said, plugin.origins)}${
      at === undefined ? "" : ` (${at})`
    }`,
    ...(at === undefined ? {} : { at }),
    ...(needs ? { hint: "Declare what the plugin reaches in its permissions" } : {}),
    ...(frames.length > 1 ? { excerpt: frames.join("\n") } : {}),
  });
}

/** What a call of the plugin's failed with. That its SQL is wrong is its own fault; other reasons have their own words. */
function withPlace(data: ErrorData, { name, origins }: Blamed): ErrorData {
  const frames = data.called === true ? framesOf(data.stack ?? "", origins) : [];
  // Another plugin, which this one has run, has been blamed already.
  if (frames[0] === undefined || data.details?.["at"] !== undefined) return data;
  const at = placeIn(frames[0]);
  const placed = { ...data, details: { ...data.details, plugin: name, at } };
  if (data.server !== undefined) {
    const { message, sqlstate, detail } = data.server;
    const said = data.message === message
      ? `${message} (SQLSTATE ${sqlstate})${detail === undefined ? "" : `: ${detail}`}`
      : data.message;
    return { ...placed, message: `Plugin ${name} failed: ${said} (${at})` };
  }
  // Where the server cannot be reached, it is nothing that the plugin does.
  if (data.kind === "connection") return placed;
  return { ...placed, excerpt: [data.excerpt ?? [], frames].flat().join("\n") };
}

const RUNTIME_FLAGS = /, (?:run again with|specify the required permissions) .*$/s;
const FILE = /file:\/\/[^\s)'"]+?\.mjs/g;

/** The lines of a trace that are the plugin's own, with the places in its sources. */
function framesOf(stack: string, origins: Blamed["origins"]): string[] {
  return stack.split("\n").flatMap((line) => {
    if (!/^\s+at /.test(line)) return [];
    const address = line.match(FILE)?.[0];
    const source = address === undefined ? undefined : ownValue(origins, address);
    if (address === undefined || source === undefined) return [];
    return [`    ${line.trim().replace(address, source)}`];
  });
}

/** The place that a line of a trace ends with. */
function placeIn(frame: string): string {
  return frame.replace(
    /^\s*at (?:async )?(?:.*\((.*)\)|(.*))$/,
    (_, inner, whole) => inner ?? whole,
  );
}

/** Names sources instead of the copies that were loaded. */
function sourcesIn(text: string, origins: Blamed["origins"]): string {
  return text.replaceAll(FILE, (address) => ownValue(origins, address) ?? address);
}

function ownValue(record: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
