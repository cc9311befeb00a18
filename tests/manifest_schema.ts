/** The JSON Schemas of what is kept beside backups, as they are published. */
import type { ErrorObject } from "ajv";
import { errorsBy } from "./schemas.ts";

export { SCHEMAS } from "./schemas.ts";

/** What is wrong with a manifest by its schema; nothing when it is as it should be. */
export function manifestProblems(manifest: unknown): ErrorObject[] {
  return errorsBy("manifest.schema.json", manifest);
}

/** The same for the result of a verification. */
export function verificationProblems(result: unknown): ErrorObject[] {
  return errorsBy("verification.schema.json", result);
}
