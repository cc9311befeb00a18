/** Where the backups of a project are kept in S3, by its configuration. */
import { type Config, OperationError } from "../../core/plugin.ts";

/** A place in S3. */
export interface S3Settings {
  readonly bucket: string;
  /** What the keys begin with: empty, or with a slash at its end and none at its beginning. */
  readonly prefix: string;
  readonly region: string;
  /** Of a service that is not Amazon's, whose buckets are then part of the path; undefined for Amazon's. */
  readonly endpoint: string | undefined;
  /** The file of certificates that are trusted instead of the usual ones. */
  readonly authorities: string | undefined;
  /** For messages: `s3://bucket/backups`. */
  readonly title: string;
}

/** The part of a configuration that is read here. */
export interface S3Config extends Pick<Config, "get"> {
  /** The value of a secret setting. */
  secret?(name: string): string | undefined;
}

/** What a command line says of the place. */
export interface S3Flags {
  /** `--endpoint-url`. */
  readonly endpointUrl?: string | undefined;
}

/** A key pair, and a token where the pair is a short-lived one. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** What a check or a command tells when no bucket is set. */
export const NO_BUCKET = "S3_BACKUP_BUCKET is not set";

/** Whether the configuration names a bucket. */
export function namesBucket(config: S3Config): boolean {
  return (config.get("S3_BACKUP_BUCKET") ?? "").trim() !== "";
}

/**
 * Reads the settings.
 *
 * @throws OperationError of kind `usage` when no bucket is set, or what is set cannot be meant
 */
export function s3Settings(config: S3Config, flags: S3Flags = {}): S3Settings {
  const bucket = (config.get("S3_BACKUP_BUCKET") ?? "").trim();
  if (bucket === "") {
    throw usage(`Cannot use S3: ${NO_BUCKET}`, {
      code: "no_bucket",
      hint: "Set S3_BACKUP_BUCKET to the bucket's name, in the environment or in .env",
    });
  }
  // An access point is named by its ARN.
  if (/[/\s]|:/.test(bucket) && !bucket.startsWith("arn:")) {
    throw usage(`S3_BACKUP_BUCKET is no bucket's name: "${bucket}"`, {
      code: "bad_bucket",
      hint: "Give the name alone; S3_BACKUP_PREFIX is for what the keys begin with",
    });
  }
  const prefix = prefixOf(config.get("S3_BACKUP_PREFIX") ?? "");
  return {
    bucket,
    prefix,
    region: config.get("AWS_REGION") ?? "us-east-1",
    endpoint: endpointOf(config, flags),
    authorities: config.get("AWS_CA_BUNDLE"),
    title: `s3://${bucket}/${prefix}`.replace(/\/$/, ""),
  };
}

/**
 * The key pair that the configuration holds; undefined when it holds none, so that the usual places
 * are looked into: profiles, web identities, and the roles of containers and machines.
 *
 * @throws OperationError of kind `usage` when it holds half of one
 */
export function s3Credentials(config: S3Config): S3Credentials | undefined {
  const secret = (name: string) => config.secret?.(name)?.trim() || undefined;
  const accessKeyId = secret("AWS_ACCESS_KEY_ID");
  const secretAccessKey = secret("AWS_SECRET_ACCESS_KEY");
  const sessionToken = secret("AWS_SESSION_TOKEN");
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const [there, missing] = accessKeyId === undefined
      ? ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"]
      : ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    throw usage(`${there} is set, and ${missing} is not`, {
      code: "half_credentials",
      hint: "Set both, or neither for a profile or a role",
    });
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function prefixOf(text: string): string {
  const inner = text.trim().replace(/^\/+/, "").replace(/\/+$/, "");
  return inner === "" ? "" : `${inner}/`;
}

function endpointOf(config: S3Config, { endpointUrl }: S3Flags): string | undefined {
  const [name, value] = endpointUrl === undefined
    ? ["AWS_ENDPOINT_URL_S3", config.get("AWS_ENDPOINT_URL_S3")]
    : ["--endpoint-url", endpointUrl];
  const text = value?.trim() ?? "";
  if (text === "") return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // A password in it would be shown.
  if (!/^https?:$/.test(url?.protocol ?? "") || url?.username || url?.password || url?.search) {
    throw usage(`${name} is no address of an S3 service`, {
      code: "bad_endpoint",
      hint: "Give one such as https://s3.example.com or http://minio:9000",
    });
  }
  return text;
}

function usage(
  message: string,
  options: { readonly code: string; readonly hint: string },
): OperationError {
  return new OperationError(message, { kind: "usage", ...options });
}
