/**
 * The packages that backups need, loaded by the commands that need them. The compiled program has
 * `tasks/compiled/packages/repository.ts` in place of this file.
 */

/** The client of S3: of the package what is used here, since the compiled program holds no more. */
export type S3 = Pick<
  typeof import("@aws-sdk/client-s3"),
  | "AbortMultipartUploadCommand"
  | "CompleteMultipartUploadCommand"
  | "CreateMultipartUploadCommand"
  | "DeleteObjectCommand"
  | "GetObjectCommand"
  | "HeadObjectCommand"
  | "ListMultipartUploadsCommand"
  | "ListObjectsV2Command"
  | "ListPartsCommand"
  | "PutObjectCommand"
  | "S3Client"
  | "UploadPartCommand"
>;

/** Encryption for recipients whose keys are not here. */
export type Age = typeof import("age-encryption");

/** Loads the client of S3. */
export async function loadS3(): Promise<S3> {
  return await import("@aws-sdk/client-s3");
}

/** Loads the encryption. */
export async function loadAge(): Promise<Age> {
  return await import("age-encryption");
}
