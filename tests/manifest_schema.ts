/** The JSON Schemas of what is kept beside backups, as they are published. */
import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { join } from "node:path";
import { PROJECT } from "../tasks/build.ts";

/** Where they are. */
export const SCHEMAS = join(PROJECT, "docs", "schema");

async function schemaOf(name: string): Promise<(value: unknown) => ErrorObject[]> {
  const text = await Deno.readTextFile(join(SCHEMAS, name));
  const validate = new Ajv2020({ allErrors: true, strict: true }).compile(JSON.parse(text));
  return (value) => validate(value) ? [] : [...validate.errors ?? []];
}

/** What is wrong with a manifest by its schema; nothing when it is as it should be. */
export const manifestProblems = await schemaOf("manifest.schema.json");

/** The same for the result of a verification. */
export const verificationProblems = await schemaOf("verification.schema.json");
