/** Sends one part of an object, or an object of one part. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Bucket, Call } from "./s3_bucket.ts";
import { failureOf, Mismatch } from "./s3_failure.ts";

/** A run of bytes that can be read as often as it must be sent. */
export interface ObjectPart {
  /** Bytes. */
  readonly size: number;
  /** Of exactly these bytes: the service takes nothing else for them. */
  readonly sha256: Uint8Array;
  /**
   * Known where it cost nothing: it takes three times as long as the other. What is stored is then
   * compared with it as well.
   */
  readonly md5?: Uint8Array;
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
  readonly ContentMD5?: string;
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
  { bucket, call, send }: {
    readonly bucket: Bucket;
    readonly call: Call;
    readonly send: (body: Body) => Promise<R>;
  },
): Promise<R & { readonly ETag: string }> {
  const md5 = part.md5 ?? (bucket.wantsMd5 ? await md5Of(part) : undefined);
  const body = await part.open();
  call.presetDigest(body, part.sha256);
  let receipt: R;
  try {
    receipt = await send({
      Body: body,
      ContentLength: part.size,
      ...(md5 === undefined ? {} : { ContentMD5: Buffer.from(md5).toString("base64") }),
    });
  } catch (error) {
    if (md5 !== undefined || !asksForMd5(error)) throw error;
    bucket.wantsMd5 = true;
    return await sendPart(part, { bucket, call, send });
  } finally {
    // What was not even begun to be sent is closed too.
    if (!body.locked) await body.cancel();
  }
  const { ETag } = receipt;
  if (ETag === undefined || ETag === "") throw new Mismatch("the service told no ETag");
  const told = plainMd5(receipt);
  const sent = md5 && Buffer.from(md5).toString("hex");
  if (told !== undefined && sent !== undefined && told !== sent) {
    throw new Mismatch(
      `the service has other bytes than were sent (MD5 ${told} instead of ${sent})`,
    );
  }
  return { ...receipt, ETag };
}

/** Buckets whose objects are locked take none without it. */
function asksForMd5(error: unknown): boolean {
  const { code = "", status, message = "" } = failureOf(error) ?? {};
  return status === 400 && (code === "MissingContentMD5" || /Content-MD5/i.test(message));
}

async function md5Of(part: ObjectPart): Promise<Uint8Array> {
  const hash = createHash("md5");
  for await (const chunk of await part.open()) hash.update(chunk);
  return hash.digest();
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
  const { ETag } = await sendPart(part, { bucket, call, send });
  return { PartNumber: number, ETag };
}
