/** The list of built-in plugins; each is written with `core/plugin.ts` alone. */
import type { Plugin } from "../core/plugin.ts";
import backup from "./backup/mod.ts";
import completion from "./completion/mod.ts";
import config from "./config/mod.ts";
import migrate from "./migrate/mod.ts";
import plugin from "./plugin/mod.ts";
import query from "./query/mod.ts";
import reset from "./reset/mod.ts";
import restore from "./restore/mod.ts";
import seed from "./seed/mod.ts";
import verify from "./verify/mod.ts";

/** The built-ins in the order that the help lists them. */
export const builtIns: readonly Plugin[] = [
  migrate,
  seed,
  reset,
  backup,
  restore,
  query,
  verify,
  plugin,
  config,
  completion,
];
