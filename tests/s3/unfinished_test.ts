/** Lists of unfinished uploads and their parts that a service gives page by page. */
import assert from "assert";
import { s3Place } from "../../plugins/repository/s3_place.ts";
import { faultyS3, type S3Answer, type SeenRequest } from "../fault_s3.ts";
import { freshBucket, sharedS3 } from "../s3.ts";
import { openStore } from "./parts.ts";

const NAME = "x_backup_20240101_120000.dump";
const HOUR = 3_600_000;
const BEGUN = Date.parse("2024-01-01T12:00:00Z");

function timeText(time: number): string {
  return new Date(time).toISOString();
}

/** A page of uploads to one object; `next` is where the next page begins. */
function uploadsPage(ids: readonly string[], next?: string): S3Answer {
  const uploads = ids.map((id) =>
    `<Upload><Key>backups/${NAME}</Key><UploadId>${id}</UploadId>` +
    `<Initiated>${timeText(BEGUN)}</Initiated></Upload>`
  );
  return page("ListMultipartUploadsResult", uploads, {
    next,
    marker: `<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>${next}</NextUploadIdMarker>`,
  });
}

function partsPage(times: readonly number[], next?: string): S3Answer {
  const parts = times.map((time, index) =>
    `<Part><PartNumber>${index + 1}</PartNumber><Size>5</Size>` +
    `<LastModified>${timeText(time)}</LastModified></Part>`
  );
  return page("ListPartsResult", parts, {
    next,
    marker: `<NextPartNumberMarker>${next}</NextPartNumberMarker>`,
  });
}

function page(
  name: string,
  items: readonly string[],
  { next, marker }: { readonly next: string | undefined; readonly marker: string },
): S3Answer {
  const truncated = `<IsTruncated>${next !== undefined}</IsTruncated>`;
  const body = `${truncated}${next === undefined ? "" : marker}${items.join("")}`;
  return { status: 200, body: `<${name}>${body}</${name}>` };
}

/** The uploads that a place tells of, when lists are answered so. */
async function uploadsUnder(answers: {
  readonly uploads: (request: SeenRequest) => S3Answer;
  readonly parts: (request: SeenRequest) => S3Answer;
}) {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "ListMultipartUploads", fault: { answer: answers.uploads } },
    { on: "ListParts", fault: { answer: answers.parts } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  return await s3Place(store).listUploads();
}

Deno.test("s3Place: puts the list of uploads together from many pages", async () => {
  const uploads = await uploadsUnder({
    uploads: ({ query }) =>
      query.get("upload-id-marker") === "2" ? uploadsPage(["3"]) : uploadsPage(["1", "2"], "2"),
    parts: () => partsPage([]),
  });
  assert.deepEqual(
    uploads.map(({ uploadId, modified }) => [uploadId, modified]).sort(),
    [["1", BEGUN], ["2", BEGUN], ["3", BEGUN]],
  );
});

Deno.test("s3Place: half of a list of uploads does not pass for a whole one", async () => {
  await assert.rejects(
    uploadsUnder({ uploads: () => uploadsPage(["1"], "1"), parts: () => partsPage([]) }),
    /the service does not give the whole list/,
  );
});

Deno.test("s3Place: an upload is as old as the last of all its parts", async () => {
  const uploads = await uploadsUnder({
    uploads: () => uploadsPage(["1"]),
    parts: ({ query }) =>
      query.get("part-number-marker") === "2"
        ? partsPage([BEGUN + 50 * HOUR, BEGUN + 3 * HOUR])
        : partsPage([BEGUN + HOUR, BEGUN + 2 * HOUR], "2"),
  });
  assert.deepEqual(uploads.map(({ modified }) => modified), [BEGUN + 50 * HOUR]);
});

Deno.test("s3Place: an upload that ends while it is looked at is no error", async () => {
  const uploads = await uploadsUnder({
    uploads: () => uploadsPage(["1"]),
    parts: () => ({ status: 404, code: "NoSuchUpload" }),
  });
  assert.deepEqual(uploads.map(({ modified }) => modified), [BEGUN]);
});
