import assert from "assert";
import { startS3Server } from "../tasks/s3_server.ts";
import { bucketsIn, freshBucket, S3_KINDS } from "./s3.ts";

/** Whether anybody listens at an address. */
async function answers(endpoint: string): Promise<boolean> {
  return await fetch(endpoint).then(async (response) => {
    await response.body?.cancel();
    return true;
  }, () => false);
}

/** The directories of servers in memory and on disk. */
async function directories(): Promise<string[]> {
  const found: string[] = [];
  for (const parent of ["/dev/shm", "/tmp"]) {
    for await (const { name } of Deno.readDir(parent)) {
      if (name.startsWith("observatory-s3-")) found.push(`${parent}/${name}`);
    }
  }
  return found.sort();
}

for (const kind of S3_KINDS) {
  Deno.test(`startS3Server: ${kind} takes objects at once, and leaves nothing`, async () => {
    const server = await startS3Server({ kind });
    assert.equal(server.kind, kind);
    {
      await using bucket = await freshBucket({ server });
      await bucket.put("a", "1");
      assert.deepEqual((await bucket.objects()).map(({ key }) => key), ["a"]);
    }
    assert.deepEqual(await bucketsIn(server), []);
    await server.stop();
    await server.stop();
    assert.equal(await answers(server.endpoint), false);
  });

  Deno.test(`startS3Server: ${kind} ends with its owner, even one that is killed`, async () => {
    const before = new Set(await directories());
    const owner = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `import { startS3Server } from "${new URL("../tasks/s3_server.ts", import.meta.url)}";
         const server = await startS3Server({ kind: "${kind}" });
         console.log(server.endpoint);
         setTimeout(() => {}, 60_000);`,
      ],
      stdout: "piped",
    }).spawn();
    const reader = owner.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const endpoint = (await reader.read()).value?.trim() ?? "";
    assert.equal(await answers(endpoint), true);
    owner.kill("SIGKILL");
    await owner.status;
    await reader.cancel();
    const deadline = Date.now() + 10_000;
    while (await answers(endpoint)) {
      assert.ok(Date.now() < deadline, "The server goes on");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // Other tests have servers of their own; this one's directory goes within a moment.
    while (kind === "versitygw" && Date.now() < deadline) {
      const port = new URL(endpoint).port;
      const left = (await directories()).filter((each) => !before.has(each));
      const logs = await Promise.all(
        left.map((each) => Deno.readTextFile(`${each}/log`).catch(() => "")),
      );
      if (!logs.some((log) => log.includes(port))) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
}

Deno.test("startS3Server: tells the server's own reason when it does not start", async () => {
  if (!S3_KINDS.includes("versitygw")) return;
  await assert.rejects(
    startS3Server({ kind: "versitygw", tls: { cert: "none", key: "none" } }),
    /^Error: Cannot start versitygw: .*certificate/s,
  );
});
