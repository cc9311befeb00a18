/** How a dump is compressed, and by what the server's client programs can do. */
import { type ClientTool, type Context, OperationError } from "../../core/plugin.ts";
import type { CompressionMethod, Manifest } from "../repository/manifest.ts";

/** A method with its level; null stands for the method's own default. */
export type Compression = Manifest["compression"];

const LEVELS: Readonly<Record<CompressionMethod, readonly [least: number, most: number]>> = {
  none: [0, 0],
  gzip: [1, 9],
  lz4: [1, 12],
  zstd: [1, 22],
};

/** The first major whose pg_dump knows methods by name. */
const METHODS_SINCE = 16;

/**
 * Reads `METHOD` or `METHOD:LEVEL`.
 *
 * @throws OperationError of kind `usage`
 */
export function readCompression(text: string): Compression {
  const [name = "", level, more] = text.trim().toLowerCase().split(":");
  const method = (Object.keys(LEVELS) as CompressionMethod[]).find((each) => each === name);
  const refuse = (reason: string): never => {
    throw new OperationError(`Cannot compress by "${text}": ${reason}`, {
      kind: "usage",
      code: "bad_compression",
      hint: "Write none, gzip, lz4 or zstd, with a level where one is wanted: zstd:3",
    });
  };
  if (method === undefined || more !== undefined) return refuse("there is no such method");
  if (level === undefined) return { method, level: null };
  const [least, most] = LEVELS[method];
  const number = /^\d{1,2}$/.test(level) ? Number(level) : NaN;
  if (method === "none") return refuse("it has no level");
  if (!(number >= least && number <= most)) {
    return refuse(`its level is a number from ${least} to ${most}`);
  }
  return { method, level: number };
}

/**
 * What compresses when nothing was asked for. Compression is what a dump takes longest for: gzip at
 * pg_dump's own level takes several times as long as at 1, for a few per cent of the size.
 */
export async function defaultCompression(ctx: Context, tool: ClientTool): Promise<Compression> {
  return tool.major >= METHODS_SINCE && await knows(ctx, { tool, method: "zstd" })
    ? { method: "zstd", level: 3 }
    : { method: "gzip", level: 1 };
}

/** Makes sure that pg_dump can compress so, before it is asked to. */
export async function requireCompression(
  ctx: Context,
  { tool, compression: { method } }: {
    readonly tool: ClientTool;
    readonly compression: Compression;
  },
): Promise<void> {
  if (method === "none" || method === "gzip") return;
  const named = tool.major >= METHODS_SINCE;
  if (named && await knows(ctx, { tool, method })) return;
  throw new OperationError(
    `Cannot compress by ${method}: ${tool.path} ${tool.version} ${
      named ? "was built without it" : "knows gzip alone"
    }`,
    {
      kind: "usage",
      code: "bad_compression",
      hint: "Use gzip, or install client programs of PostgreSQL 16 or newer that know the method",
    },
  );
}

/** The argument of pg_dump. */
export function compressionArgument(
  { method, level }: Compression,
  { major }: ClientTool,
): string {
  if (method === "none") return "--compress=0";
  if (major < METHODS_SINCE) return `--compress=${level ?? 6}`;
  return `--compress=${method}${level === null ? "" : `:${level}`}`;
}

/** A pg_dump says what it was built without before it connects, which it cannot do here. */
async function knows(
  ctx: Context,
  { tool, method }: { readonly tool: ClientTool; readonly method: CompressionMethod },
): Promise<boolean> {
  const program = await ctx.exec(tool.path, {
    args: ["--format=custom", `--compress=${method}`, "--no-password", "--host=/nowhere"],
    env: { LC_ALL: "C" },
  });
  const [, text] = await Promise.all([
    program.stdout.pipeTo(new WritableStream()),
    new Response(program.stderr).text(),
    program.exit,
  ]);
  return !/does not support|unrecognized|invalid compression/.test(text);
}
