/** The published JSON Schemas, and what the program prints held against them. */
import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { join, relative } from "node:path";
import { builtIns } from "../plugins/mod.ts";
import { PROJECT } from "../tasks/build.ts";

/** Where they are. */
export const SCHEMAS = join(PROJECT, "docs", "schema");

/** Every schema by its path below that directory. */
export const schemas: ReadonlyMap<string, Record<string, unknown>> = new Map(
  await Promise.all(
    filesBelow(SCHEMAS).map(async (path) => {
      const text = await Deno.readTextFile(path);
      return [relative(SCHEMAS, path), JSON.parse(text)] as const;
    }),
  ),
);

const ajv = new Ajv2020({ allErrors: true, strict: true });
for (const schema of schemas.values()) ajv.addSchema(schema);

function filesBelow(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) =>
    isDirectory
      ? filesBelow(join(directory, name))
      : name.endsWith(".schema.json")
      ? [join(directory, name)]
      : []
  ).sort();
}

/** What is wrong with a value by a schema; nothing when it is as it should be. */
export function errorsBy(schema: string, value: unknown): ErrorObject[] {
  const validate = ajv.getSchema(schema);
  if (validate === undefined) throw new Error(`There is no schema docs/schema/${schema}`);
  return validate(value) === true ? [] : [...validate.errors ?? []];
}

/** The same, a line each. */
export function problemsBy(schema: string, value: unknown): string[] {
  return errorsBy(schema, value).map(({ instancePath, message, params, schemaPath }) =>
    `${instancePath || "/"} ${message} ${JSON.stringify(params)} (${schema}${schemaPath})`
  );
}

/** The same for a line of the audit log. */
export function problemsOfAuditLine(line: unknown): string[] {
  return problemsBy("audit-line.schema.json", line);
}

/** Commands of ours whose data are described. */
export const described: readonly string[] = [
  ...builtIns.flatMap(({ commands = {} }) => Object.keys(commands)),
  "help",
  "version",
  // It has no result of its own: it runs a command of a plugin.
].filter((path) => path !== "plugin run");

/** Where the schema of a command's data is, below `docs/schema`. */
export function dataSchema(command: string): string {
  return `data/${command.replaceAll(" ", "-")}.schema.json`;
}

/** What a run was given and has left, as far as schemas tell of it. */
export interface Printed {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Holds what a run has printed as JSON against the schemas.
 *
 * @throws Error that names the schema, and what to do about it
 */
export function requireDescribed({ args, env, stdout, stderr }: Printed): void {
  const end = args.indexOf("--");
  const flags = args.slice(0, end < 0 ? args.length : end);
  const line = args.join(" ");
  const printed = flags.includes("--json") ? parsed(stdout) : undefined;
  if (printed !== undefined) require(line, problemsOfResult(printed), stdout);
  const logged = flags.includes("--log-format=json") || env["LOG_FORMAT"] === "json" ||
    flags[flags.indexOf("--log-format") + 1] === "json";
  if (!logged) return;
  for (const text of stderr.split("\n")) {
    const told = parsed(text);
    // Other programs may write there too.
    if (told === undefined || !("level" in told)) continue;
    require(line, problemsBy("log-line.schema.json", told), text);
  }
}

/** What is wrong with the one object of `--json`. */
export function problemsOfResult(printed: object): string[] {
  const problems = problemsBy("envelope.schema.json", printed);
  const { ok, command, data } = printed as { ok?: unknown; command?: unknown; data?: unknown };
  if (ok !== true || typeof command !== "string" || !described.includes(command)) return problems;
  if (!schemas.has(dataSchema(command))) {
    return [
      ...problems,
      `The data of "${command}" is not described: write docs/schema/${dataSchema(command)}`,
    ];
  }
  return [...problems, ...problemsBy(dataSchema(command), data)];
}

/** The object that a text is; undefined when it is none, as where a run was ended half-way. */
function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function require(line: string, problems: readonly string[], text: string): void {
  if (problems.length === 0) return;
  const shown = text.length > 4000 ? `${text.slice(0, 4000)}…` : text;
  throw new Error(
    `What "${line}" prints is not what docs/schema/ says; change the one or the other:\n  ` +
      `${problems.join("\n  ")}\nIt printed: ${shown}`,
  );
}
