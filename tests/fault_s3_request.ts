/** What a request to S3 is for, told by its head. */
import { headersOf } from "./fault_s3_wire.ts";

/** What a request is for. */
export type S3Operation =
  | "AbortMultipartUpload"
  | "CompleteMultipartUpload"
  | "CreateMultipartUpload"
  | "DeleteObject"
  | "GetObject"
  | "HeadObject"
  | "ListMultipartUploads"
  | "ListObjects"
  | "ListParts"
  | "PutObject"
  | "UploadPart"
  | "other";

/** A request that has come. */
export interface SeenRequest {
  readonly operation: S3Operation;
  readonly method: string;
  readonly bucket: string;
  /** Decoded, without the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  /** Of `UploadPart`. */
  readonly part: number | undefined;
}

/** Reads the head of a request. */
export function requestOf([first = "", ...lines]: readonly string[]): SeenRequest {
  const [method = "", target = "/"] = first.split(" ");
  const url = new URL(target, "http://s3");
  const [bucket = "", ...path] = url.pathname.slice(1).split("/");
  const key = decodeURIComponent(path.join("/"));
  const query = url.searchParams;
  const number = query.get("partNumber");
  return {
    operation: operationOf(method, { key, query }),
    method,
    bucket,
    key,
    query,
    headers: headersOf(lines),
    part: number === null ? undefined : Number(number),
  };
}

function operationOf(
  method: string,
  { key, query }: Pick<SeenRequest, "key" | "query">,
): S3Operation {
  const upload = query.has("uploadId");
  switch (method) {
    case "PUT":
      return query.has("partNumber") ? "UploadPart" : key === "" ? "other" : "PutObject";
    case "POST":
      return query.has("uploads")
        ? "CreateMultipartUpload"
        : upload
        ? "CompleteMultipartUpload"
        : "other";
    case "DELETE":
      return upload ? "AbortMultipartUpload" : key === "" ? "other" : "DeleteObject";
    case "HEAD":
      return key === "" ? "other" : "HeadObject";
    case "GET":
      if (query.has("uploads")) return "ListMultipartUploads";
      if (upload) return "ListParts";
      return key === "" ? "ListObjects" : "GetObject";
    default:
      return "other";
  }
}
