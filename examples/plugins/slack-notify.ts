/**
 * Posts to a Slack channel when migrations, seeds and resets have been done, and when anything that
 * writes has failed. A post that fails is a warning: it never fails the operation.
 *
 * Copy this file into your plugins directory, set SLACK_WEBHOOK_URL (in the environment or in .env)
 * and try it with `observatory slack test`. Another service that takes the same posts, such as
 * Mattermost, needs its host in HOST.
 */
import { command, type Context, definePlugin, type HookEvent, OperationError } from "observatory";

/** The only host that this plugin reaches. */
const HOST = "hooks.slack.com";

/** What is longer would hold up the operation, or its end after an interrupt. */
const TIMEOUT_MILLISECONDS = 2500;

async function post(text: string, webhook: string): Promise<void> {
  // The URL is a secret, and the runtime's own messages hold it: none of them is passed on.
  const url = URL.parse(webhook);
  if (url?.host !== HOST) {
    throw new OperationError(`Cannot post to Slack: the webhook's URL does not lead to ${HOST}`, {
      hint: "Set SLACK_WEBHOOK_URL, or name the other host in the plugin",
    });
  }
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text }),
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
    });
    await answer.body?.cancel();
  } catch (error) {
    const late = error instanceof Error && error.name === "TimeoutError";
    throw new OperationError(
      `Cannot post to Slack: ${late ? "it did not answer in time" : `${HOST} cannot be reached`}`,
    );
  }
  if (!answer.ok) throw new OperationError(`Cannot post to Slack: it answers ${answer.status}`);
}

async function notify(ctx: Context, text: string): Promise<void> {
  const webhook = ctx.config.get("SLACK_WEBHOOK_URL");
  if (!webhook) return ctx.log.debug("Nothing is posted: SLACK_WEBHOOK_URL is not set");
  try {
    await post(text, webhook);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    ctx.log.warn(error.message);
  }
}

async function succeeded(ctx: Context, { command }: HookEvent): Promise<void> {
  if (!ctx.dryRun) {
    await notify(ctx, `:white_check_mark: \`${command}\` of ${whereOf(ctx)} is done`);
  }
}

async function failed(
  ctx: Context,
  { command, effect, error }: HookEvent<"failed">,
): Promise<void> {
  // What only reads is run by people, who see for themselves.
  if (effect === "read" || ctx.dryRun) return;
  await notify(ctx, `:x: \`${command}\` of ${whereOf(ctx)} failed: ${error.message}`);
}

function whereOf(ctx: Context): string {
  const environment = ctx.config.get("ENVIRONMENT");
  const { host, database } = ctx.db.target;
  return `"${database}" on ${host} (${environment})`;
}

export default definePlugin({
  name: "slack-notify",
  api: 1,
  summary: "Post to Slack how operations end",
  permissions: { net: [HOST] },
  commands: {
    "slack test": command({
      summary: "Post a test message to Slack",
      examples: [{ line: "observatory slack test", note: "Try SLACK_WEBHOOK_URL" }],
      effect: "read",
      database: "none",
      flags: {
        // Naming the variable here is also what lets the hooks ask for it.
        "webhook-url": {
          type: "string",
          help: "The webhook; SLACK_WEBHOOK_URL keeps it out of `ps`",
          env: "SLACK_WEBHOOK_URL",
          required: true,
          secret: true,
        },
      },
      async run(_ctx, { flags }) {
        await post("A test message of observatory", flags["webhook-url"]);
        return { data: { posted: true }, text: "Posted a test message" };
      },
    }),
  },
  hooks: {
    "after:migrate": succeeded,
    "after:migrate rollback": succeeded,
    "after:seed": succeeded,
    "after:reset": succeeded,
    "failed:*": failed,
  },
});
