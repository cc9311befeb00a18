/** The packages of backups, in the compiled program: in place of `plugins/repository/packages.ts`. */
import type { Age, S3 } from "../../../plugins/repository/packages.ts";
import { unpack } from "./unpack.ts";

export type { Age, S3 };

let s3: Promise<S3> | undefined;
let age: Promise<Age> | undefined;

/** Loads the client of S3. */
export async function loadS3(): Promise<S3> {
  return await (s3 ??= unpack("s3", ["S3Client"]));
}

/** Loads the encryption. */
export async function loadAge(): Promise<Age> {
  return await (age ??= unpack("age", ["Encrypter", "Decrypter"]));
}
