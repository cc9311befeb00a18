/** A bucket: the client of S3, set so that it works with every service, and its requests in words. */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { type Log, OperationError } from "../../core/plugin.ts";
import { type TimeSample, webClient } from "./http_client.ts";
import { loadS3, type S3 } from "./packages.ts";
import { inWords } from "./s3_errors.ts";
import { failureOf } from "./s3_failure.ts";
import { persist, type RetryLimits } from "./s3_retry.ts";
import type { S3Credentials, S3Settings } from "./s3_settings.ts";

/** What is waited for, how often something is tried, and what a service takes; times in milliseconds. */
export interface S3Limits extends RetryLimits {
  /** For a connection. */
  readonly connect: number;
  /** Without any progress, after which a request is given up. */
  readonly stall: number;
  /** Without an answer, after a multipart upload was to be completed. */
  readonly completion: number;
  /** The most parts of one object. */
  readonly parts: number;
}

/** The usual limits. */
export const S3_LIMITS: S3Limits = {
  tries: 5,
  backoff: 250,
  connect: 10_000,
  stall: 60_000,
  completion: 10 * 60_000,
  parts: 10_000,
};

/** How a bucket is opened. */
export interface BucketOptions {
  readonly settings: S3Settings;
  /** By default what the usual places hold: profiles, web identities, roles. */
  readonly credentials?: S3Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly limits?: Partial<S3Limits> | undefined;
  readonly log?: Pick<Log, "debug" | "warn"> | undefined;
}

/** What a request is made with. */
export interface Call {
  readonly sdk: S3;
  readonly client: InstanceType<S3["S3Client"]>;
  /** Goes with every command that is sent. */
  readonly http: { readonly abortSignal?: AbortSignal };
  /**
   * Has the digest that is known of a body signed with its request, so that the service takes no
   * other bytes for it; of a stream the client would make none.
   */
  presetDigest(body: ReadableStream<Uint8Array>, sha256: Uint8Array): void;
}

/** How one request is made. */
export interface RequestOptions {
  /** By default the bucket's. */
  readonly signal?: AbortSignal | undefined;
  readonly tries?: number;
  /** Whether a failure may pass; by default as `mayPass` says. */
  readonly passes?: (error: unknown) => boolean;
}

/** An open bucket. */
export interface Bucket {
  readonly settings: S3Settings;
  readonly limits: S3Limits;
  readonly log: Pick<Log, "debug" | "warn">;
  readonly signal: AbortSignal | undefined;
  /**
   * Makes a request, and makes it again when its failure may pass.
   *
   * @param doing what it does, such as `list s3://bucket/backups`
   * @throws OperationError in words, or the reason of the signal
   */
  request<T>(
    doing: string,
    work: (call: Call) => Promise<T>,
    options?: RequestOptions,
  ): Promise<T>;
  /** Whether objects can be kept from being overwritten; true until the service says otherwise. */
  conditional: boolean;
  /** Whether it takes nothing without an MD5; false until the service says so. */
  wantsMd5: boolean;
  /** The service's clock minus this machine's, in milliseconds; undefined until it has told the time. */
  skew(): number | undefined;
  /** Ends what it keeps open. */
  close(): void;
}

const SILENT = { debug() {}, warn() {} };

/**
 * Opens a bucket; nothing is sent yet.
 *
 * @throws OperationError of kind `usage` when the file of certificates cannot be read
 */
export async function openBucket(options: BucketOptions): Promise<Bucket> {
  const { settings, credentials, signal, log = SILENT } = options;
  const limits = { ...S3_LIMITS, ...options.limits };
  const samples: TimeSample[] = [];
  const requestHandler = webClient({
    connectLimit: limits.connect,
    stallLimit: limits.stall,
    authorities: await readAuthorities(settings.authorities),
    answered: (sample) => samples.push(sample) > SAMPLES && samples.shift(),
  });
  const sdk = await loadS3();
  const client = new sdk.S3Client({
    region: settings.region,
    ...(settings.endpoint === undefined
      ? {}
      : { endpoint: settings.endpoint, forcePathStyle: true }),
    ...(credentials === undefined ? {} : { credentials }),
    // By default it adds checksums in a form that several services refuse, and one stores.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // Bodies are opened anew for each try, which it cannot do.
    maxAttempts: 1,
    expectContinueHeader: false,
    requestHandler,
    // It would write to the console.
    logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  });
  const digests = presetDigests(client);
  const presetDigest: Call["presetDigest"] = (body, sha256) =>
    void digests.set(body, Buffer.from(sha256).toString("hex"));
  return {
    settings,
    limits,
    log,
    signal,
    conditional: true,
    wantsMd5: false,
    async request(doing, work, { signal: own = signal, tries = limits.tries, passes } = {}) {
      const http = own === undefined ? {} : { abortSignal: own };
      try {
        return await persist(() => work({ sdk, client, http, presetDigest }), {
          tries,
          backoff: limits.backoff,
          signal: own,
          retried: (error) => log.debug(`Trying again to ${doing}: ${reasonOf(error)}`),
          ...(passes === undefined ? {} : { passes }),
        });
      } catch (error) {
        own?.throwIfAborted();
        throw inWords(error, { doing, settings });
      }
    },
    skew: () => skewOf(samples),
    close: () => client.destroy(),
  };
}

/** Where the client finds digests of bodies, in hexadecimal digits. */
function presetDigests(client: Call["client"]): WeakMap<object, string> {
  const digests = new WeakMap<object, string>();
  client.middlewareStack.add((next) => (args) => {
    const { input, request } = args;
    const body: unknown = "Body" in input ? input.Body : undefined;
    const digest = typeof body === "object" && body !== null ? digests.get(body) : undefined;
    if (digest !== undefined && hasHeaders(request)) {
      request.headers["x-amz-content-sha256"] = digest;
    }
    return next(args);
  }, { step: "build", name: "presetDigests" });
  return digests;
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === "object" && request !== null && "headers" in request;
}

/** What goes wrong, in a few words for a log. */
export function reasonOf(error: unknown): string {
  const failure = failureOf(error);
  if (failure === undefined) return error instanceof Error ? error.message : String(error);
  const { code, status, message } = failure;
  return status === undefined ? message : `status ${status}${code === "" ? "" : `, ${code}`}`;
}

/** How many of the latest answers are looked at for the time. */
const SAMPLES = 20;

/** By the answer that came fastest; the service tells whole seconds, cut off. */
function skewOf(samples: readonly TimeSample[]): number | undefined {
  const [best] = [...samples]
    .filter(({ date }) => !Number.isNaN(Date.parse(date)))
    .sort((a, b) => (a.received - a.sent) - (b.received - b.sent));
  if (best === undefined) return undefined;
  return Date.parse(best.date) + 500 - (best.sent + best.received) / 2;
}

async function readAuthorities(path: string | undefined): Promise<string | undefined> {
  if (path === undefined || path === "") return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new OperationError(`Cannot read the certificates of AWS_CA_BUNDLE, "${path}"`, {
      kind: "usage",
      code: "bad_ca_bundle",
      hint: "Name a file with certificates in PEM",
      cause: error,
    });
  }
}
