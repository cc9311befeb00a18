/**
 * Real servers of S3's protocol, and buckets for the tests. Every test makes a bucket of its own on
 * one shared server, which `deno task test` starts; a file run alone by `deno test` starts its own at
 * first need.
 */

import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Agent } from "node:http";
import type { S3Credentials, S3Settings } from "../plugins/repository/s3_settings.ts";
import { findVersitygw, type S3Address, type S3Kind, startS3Server } from "../tasks/s3_server.ts";
import { skipWhenMissing } from "./skip.ts";

export type { S3Address } from "../tasks/s3_server.ts";

/** Names the environment variable with the address of the server that a whole test run shares. */
export const TEST_S3_VARIABLE = "OBSERVATORY_TEST_S3";

let shared: Promise<S3Address> | undefined;

/** The server that the tests share; each makes buckets of its own in it, and changes nothing else. */
export function sharedS3(): Promise<S3Address> {
  if (shared === undefined) {
    const address = Deno.env.get(TEST_S3_VARIABLE) ?? "";
    shared = address === "" ? startS3Server() : Promise.resolve(JSON.parse(address));
  }
  return shared;
}

/** The value of the variable for a server. */
export function addressText({ kind, endpoint, accessKeyId, secretAccessKey }: S3Address): string {
  return JSON.stringify({ kind, endpoint, accessKeyId, secretAccessKey });
}

/** How a bucket is made. */
export interface BucketOptions {
  /** By default the shared one. */
  readonly server?: S3Address;
  /** What the keys of backups begin with; by default `backups/`. */
  readonly prefix?: string;
}

/** One object, as an observer sees it. */
export interface SeenObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

/** A bucket of one test; an observer of its own looks into it. */
export interface TestBucket extends AsyncDisposable {
  readonly name: string;
  readonly server: S3Address;
  readonly credentials: S3Credentials;
  /** The settings of the place, some of them changed. */
  settings(changes?: Partial<S3Settings>): S3Settings;
  /** The environment of a run that keeps its backups here. */
  readonly env: Readonly<Record<string, string>>;
  /** Everything in it, by keys. */
  objects(): Promise<SeenObject[]>;
  /** The keys of the multipart uploads that are not finished; fauxqs tells none. */
  uploads(): Promise<string[]>;
  put(
    key: string,
    contents: string | Uint8Array,
    metadata?: Readonly<Record<string, string>>,
  ): Promise<void>;
  /** One object whole, with its metadata. */
  read(key: string): Promise<{ bytes: Uint8Array; metadata: Record<string, string> }>;
  delete(key: string): Promise<void>;
  /** Begins a multipart upload, and gives its id. */
  beginUpload(key: string): Promise<string>;
}

/** Makes a bucket that no other test knows; it is removed at the end with all it holds. */
export async function freshBucket(options: BucketOptions = {}): Promise<TestBucket> {
  const server = options.server ?? await sharedS3();
  const { prefix = "backups/" } = options;
  const name = `test-${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;
  const client = observer(server);
  const Bucket = name;
  await client.send(new CreateBucketCommand({ Bucket }));
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const settings: S3Settings = {
    bucket: name,
    prefix,
    region: "us-east-1",
    endpoint,
    authorities: undefined,
    title: `s3://${name}/${prefix}`.replace(/\/$/, ""),
  };

  async function objects(): Promise<SeenObject[]> {
    const found: SeenObject[] = [];
    for (let token: string | undefined, more = true; more;) {
      const page = await client.send(
        new ListObjectsV2Command({
          Bucket,
          EncodingType: "url",
          ...(token && { ContinuationToken: token }),
        }),
      );
      for (const { Key = "", Size = 0, ETag = "" } of page.Contents ?? []) {
        const key = page.EncodingType === "url"
          ? decodeURIComponent(Key.replaceAll("+", " "))
          : Key;
        found.push({ key, size: Size, etag: ETag });
      }
      token = page.NextContinuationToken;
      more = token !== undefined;
    }
    return found;
  }

  async function unfinished(): Promise<{ Key: string; UploadId: string }[]> {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
    return Uploads.map(({ Key = "", UploadId = "" }) => ({ Key, UploadId }));
  }

  async function remove(Key: string): Promise<void> {
    await client.send(new DeleteObjectCommand({ Bucket, Key }));
  }

  return {
    name,
    server,
    credentials: { accessKeyId, secretAccessKey },
    settings: (changes) => ({ ...settings, ...changes }),
    env: {
      S3_BACKUP_BUCKET: name,
      S3_BACKUP_PREFIX: prefix,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    },
    objects,
    uploads: async () => (await unfinished()).map(({ Key }) => Key),
    async put(Key, contents, Metadata) {
      await client.send(
        new PutObjectCommand({ Bucket, Key, Body: contents, ...(Metadata && { Metadata }) }),
      );
    },
    async read(Key) {
      const { Body, Metadata = {} } = await client.send(new GetObjectCommand({ Bucket, Key }));
      const bytes = await Body?.transformToByteArray() ?? new Uint8Array();
      return { bytes, metadata: Metadata };
    },
    delete: remove,
    async beginUpload(Key) {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      return UploadId ?? "";
    },
    async [Symbol.asyncDispose]() {
      for (const upload of await unfinished()) {
        await client.send(new AbortMultipartUploadCommand({ Bucket, ...upload }));
      }
      for (const { key } of await objects()) await remove(key);
      await client.send(new DeleteBucketCommand({ Bucket })).catch((error: Error) => {
        // It does not tell what unfinished uploads it has; they go with the server.
        if (server.kind !== "fauxqs" || error.name !== "BucketNotEmpty") throw error;
      });
      client.destroy();
    },
  };
}

/** The names of all buckets of a server; of fauxqs none, where some cannot be removed. */
export async function bucketsIn(server: S3Address): Promise<string[]> {
  if (server.kind === "fauxqs") return [];
  const client = observer(server);
  const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
  client.destroy();
  return Buckets.map(({ Name = "" }) => Name);
}

/** A client that shares no request with the one under test, and keeps no connection. */
function observer({ endpoint, accessKeyId, secretAccessKey }: S3Address): S3Client {
  return new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    expectContinueHeader: false,
    requestHandler: { httpAgent: new Agent({ keepAlive: false }) },
  });
}

/**
 * Why versitygw cannot be had here; undefined when it can. It is needed wherever there is Go to build
 * it with: elsewhere the tests do with fauxqs.
 *
 * @throws Error in CI, when there is Go
 */
export async function versitygwMissing(): Promise<string | undefined> {
  if (await findVersitygw() !== undefined) return undefined;
  const missing = "versitygw is not installed " +
    "(go install github.com/versity/versitygw/cmd/versitygw@v1.8.0)";
  const go = await new Deno.Command("go", { args: ["version"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);
  if (go) skipWhenMissing("the tests against versitygw", missing);
  return missing;
}

/** The servers that tests can run against here. */
export const S3_KINDS: readonly S3Kind[] = await versitygwMissing() === undefined
  ? ["versitygw", "fauxqs"]
  : ["fauxqs"];

/** Registers one test for each server, on one of its own. */
export function forEachS3(name: string, test: (server: S3Address) => Promise<void>): void {
  for (const kind of S3_KINDS) {
    Deno.test(`${name} (${kind})`, async () => {
      await using server = await startS3Server({ kind });
      await test(server);
    });
  }
}
