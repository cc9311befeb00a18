/** Sends one part of an object, or an object of one part. */
import { Buffer } from "node:buffer";
import type { Bucket, Call } from "./s3_bucket.ts";
import { Mismatch } from "./s3_failure.ts";

/** A run of bytes that can be read as often as it must be sent. */
export interface ObjectPart {
  /** Bytes. */
  readonly size: number;
  /** Of exactly these bytes: the service takes nothing else for them. */
  readonly sha256: Uint8Array;
  readonly md5: Uint8Array;
  /**
   * Opens the bytes, anew for each try. A byte stream (`type: "bytes"`) is read into one buffer
   * again and again; the chunks of any other stream are left to the garbage collector.
   */
  open(): Promise<ReadableStream<Uint8Array>>;
  /** Called once, when it is not opened any more. */
  released?(): void;
}

/** What a service answers to a body. */
interface Receipt {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
  readonly SSECustomerAlgorithm?: string | undefined;
}

/** The members of a command that say what its body is. */
interface Body {
  readonly Body: ReadableStream<Uint8Array>;
  readonly ContentLength: number;
  readonly ContentMD5: string;
}

/**
 * Sends a part once.
 *
 * @param send sends the command with its body
 * @returns what the service answered
 * @throws Mismatch when the service tells of other bytes than were sent
 */
export async function sendPart<R extends Receipt>(
  part: ObjectPart,
  { call, send }: { readonly call: Call; readonly send: (body: Body) => Promise<R> },
): Promise<R & { readonly ETag: string }> {
  const body = await part.open();
  call.presetDigest(body, part.sha256);
  let receipt: R;
  try {
    receipt = await send({
      Body: body,
      ContentLength: part.size,
      ContentMD5: Buffer.from(part.md5).toString("base64"),
    });
  } finally {
    // What was not even begun to be sent is closed too.
    if (!body.locked) await body.cancel();
  }
  const { ETag } = receipt;
  if (ETag === undefined || ETag === "") throw new Mismatch("the service told no ETag");
  const told = plainMd5(receipt);
  const sent = Buffer.from(part.md5).toString("hex");
  if (told !== undefined && told !== sent) {
    throw new Mismatch(
      `the service has other bytes than were sent (MD5 ${told} instead of ${sent})`,
    );
  }
  return { ...receipt, ETag };
}

/** The MD5 that an ETag is, where it is one: not under encryption with keys of others. */
export function plainMd5(receipt: Receipt): string | undefined {
  const { ETag = "", ServerSideEncryption = "", SSECustomerAlgorithm } = receipt;
  if (ServerSideEncryption.startsWith("aws:") || SSECustomerAlgorithm !== undefined) {
    return undefined;
  }
  return /^"?([0-9a-f]{32}(?:-\d+)?)"?$/i.exec(ETag)?.[1]?.toLowerCase();
}

/** What is needed to put parts together. */
export interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string;
}

/** Which part is sent where to. */
export interface PartPlace {
  readonly key: string;
  readonly uploadId: string;
  readonly number: number;
}

/** Sends one part of a multipart upload once. */
export async function uploadPart(
  bucket: Bucket,
  { part, place, call }: {
    readonly part: ObjectPart;
    readonly place: PartPlace;
    readonly call: Call;
  },
): Promise<SentPart> {
  const { sdk, client, http } = call;
  const { key, uploadId, number } = place;
  const send = (body: Body) =>
    client.send(
      new sdk.UploadPartCommand({
        Bucket: bucket.settings.bucket,
        Key: key,
        UploadId: uploadId,
        PartNumber: number,
        ...body,
      }),
      http,
    );
  const { ETag } = await sendPart(part, { call, send });
  return { PartNumber: number, ETag };
}
