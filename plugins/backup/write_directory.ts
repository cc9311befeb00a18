/**
 * A dump in pg_dump's directory format: pg_dump writes the files itself, by several processes; each
 * is hashed and sent as soon as it is told to be finished.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Context } from "../../core/plugin.ts";
import type { StoredFile } from "../repository/manifest.ts";
import { createMemberCheck } from "../repository/member.ts";
import { dumpArguments } from "./call.ts";
import { startDump } from "./dump.ts";
import type { Prepared } from "./making.ts";
import { dumpSuffix } from "./options.ts";
import type { DumpProgress } from "./progress.ts";
import { CONTENTS, incomplete, requireWhole } from "./whole_directory.ts";
import type { Writing, Written } from "./write.ts";

/** How often is looked how large the directory is. */
const LOOK_MILLISECONDS = 1000;

/** Starts pg_dump on a directory of its own, which gets its name when it is whole. */
export async function writeDirectory(
  ctx: Context,
  prepared: Prepared,
  progress: DumpProgress,
): Promise<Writing> {
  const { id, options, tool, compression, selection, snapshot, name, places, workspace } = prepared;
  const parent = places.directory?.path ?? options.directory ?? ctx.config.get("BACKUPS_DIR") ??
    "./backups";
  const final = `${id}${dumpSuffix("directory", compression)}`;
  const directory = `${parent}/${final}.partial`;
  await ctx.files.makeDirectory(directory, { private: true });
  workspace.mine(directory);
  const { args, filter } = dumpArguments({
    options,
    tool,
    compression,
    selection,
    encoding: prepared.inventory.source.encoding,
    snapshot: snapshot.id,
    directory,
  });
  const members = takeMembers(ctx, { prepared, directory, final });
  const dump = await startDump(ctx, {
    tool,
    args,
    filter,
    name,
    stallTimeout: options.stallTimeout,
    listener: { table: progress.table, finished: members.finished },
  });
  const ended = new AbortController();
  const following = follow(ctx, {
    directory,
    // Often enough for whoever waits for a sign of life.
    pause: Math.min(LOOK_MILLISECONDS, options.stallTimeout * 250 || LOOK_MILLISECONDS),
    over: ended.signal,
    grew(bytes) {
      dump.alive();
      progress.took(bytes);
    },
  }).catch(dump.stop);
  const stored = (async (): Promise<Written> => {
    try {
      // It writes nothing here; its end is what the output tells.
      for await (const _ of dump.output);
    } finally {
      ended.abort();
      await following;
      await members.pause();
    }
    const files = await members.rest();
    if (places.directory === undefined) await ctx.files.remove(directory);
    else {
      const path = `${parent}/${final}`;
      await ctx.files.rename(directory, path);
      workspace.mine(path);
    }
    return { files, plaintext: null };
  })();
  stored.catch(() => {});
  // A member that cannot be sent or read ends the dump.
  members.failed.then(dump.stop);
  return { stored, args, messages: dump.messages, stop: dump.stop };
}

/** Watches a directory grow until it is over: what pg_dump writes into it does not come by here. */
async function follow(
  ctx: Context,
  { directory, pause: least, over, grew }: {
    readonly directory: string;
    /** Milliseconds. */
    readonly pause: number;
    readonly over: AbortSignal;
    readonly grew: (bytes: number) => void;
  },
): Promise<void> {
  const sizes = new Map<string, number>();
  for (let pause = least;;) {
    await wait(pause, undefined, { signal: over }).catch(() => {});
    if (over.aborted) return;
    const started = performance.now();
    let bytes = 0;
    for (const { name, size } of await ctx.files.list(directory)) {
      bytes += Math.max(0, size - (sizes.get(name) ?? 0));
      sizes.set(name, size);
    }
    if (bytes > 0) grew(bytes);
    // Of very many files the look takes a while, and is not to keep this process busy.
    pause = Math.max(least, 20 * (performance.now() - started));
  }
}

interface Members {
  /** Takes note that pg_dump has written all of an entry's file. */
  finished(id: number): void;
  /** Settles with the first failure. */
  readonly failed: Promise<unknown>;
  /** Waits until what was begun is done. */
  pause(): Promise<void>;
  /** Takes all others, once pg_dump has ended; makes sure that none is missing. */
  rest(): Promise<StoredFile[]>;
}

function takeMembers(
  ctx: Context,
  { prepared: { workspace, places }, directory, final }: {
    readonly prepared: Prepared;
    readonly directory: string;
    readonly final: string;
  },
): Members {
  const taken = new Map<string, StoredFile>();
  let turn: Promise<void> = Promise.resolve();
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<unknown>((resolve) => fail = resolve);
  async function take(member: string): Promise<void> {
    if (taken.has(member)) return;
    const path = `${directory}/${member}`;
    const check = await createMemberCheck(member);
    const file = await workspace.adopt(`${final}/${member}`, { path, check })
      .catch((error: unknown) => {
        throw incomplete(error, member);
      });
    taken.set(member, file);
    if (places.directory === undefined && member !== CONTENTS) await ctx.files.remove(path);
  }
  return {
    failed,
    finished(id) {
      turn = turn.then(async () => {
        const pattern = new RegExp(`^${id}\\.dat(\\.\\w+)?$`);
        for (const { name } of await ctx.files.list(directory)) {
          if (pattern.test(name)) await take(name);
        }
      });
      turn.catch(fail);
    },
    pause: () => turn,
    async rest() {
      await turn;
      const names = (await ctx.files.list(directory)).map(({ name }) => name);
      await requireWhole(ctx, { directory, present: new Set([...names, ...taken.keys()]) });
      // The table of contents comes last: it tells of all others.
      for (const name of names.filter((each) => each !== CONTENTS)) await take(name);
      await take(CONTENTS);
      return [...taken.values()].sort((a, b) => a.name < b.name ? -1 : 1);
    },
  };
}
