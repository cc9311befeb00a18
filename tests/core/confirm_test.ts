import assert from "assert";
import { confirmDestruction, type ConfirmOptions } from "../../core/confirm.ts";

interface Asked {
  readonly questions: string[];
}

function confirming(more: Partial<ConfirmOptions>, answer?: string | null): Promise<void> & Asked {
  const questions: string[] = [];
  const promise = confirmDestruction({
    command: "reset",
    database: "shop",
    server: "db1:5432",
    force: false,
    confirm: undefined,
    production: false,
    ask: answer === undefined ? undefined : (question) => {
      questions.push(question);
      return Promise.resolve(answer);
    },
    ...more,
  });
  return Object.assign(promise, { questions });
}

function refused(reason: RegExp) {
  return { name: "OperationError", kind: "refused", code: "not_confirmed", message: reason };
}

Deno.test("confirmDestruction: --confirm with the database's name passes, in production too", async () => {
  for (const production of [false, true]) {
    const asked = confirming({ confirm: "shop", production }, "no");
    await asked;
    assert.deepEqual(asked.questions, []);
  }
});

Deno.test("confirmDestruction: --confirm with another name is refused, even with --force", async () => {
  for (const force of [false, true]) {
    await assert.rejects(
      confirming({ confirm: "shop2", force }, "shop"),
      refused(
        /^Refused: --confirm names "shop2", but the database is "shop"; nothing was changed$/,
      ),
    );
  }
});

Deno.test("confirmDestruction: an empty --confirm confirms nothing", async () => {
  await assert.rejects(confirming({ confirm: "", force: true }), refused(/--confirm names ""/));
});

Deno.test("confirmDestruction: --force passes without a question, except in production", async () => {
  const asked = confirming({ force: true }, "no");
  await asked;
  assert.deepEqual(asked.questions, []);
  const inProduction = confirming({ force: true, production: true }, "shop");
  await assert.rejects(inProduction, refused(/more than --force where ENVIRONMENT is production/));
  assert.deepEqual(inProduction.questions, []);
});

Deno.test("confirmDestruction: where nobody can be asked, it is refused with the line that would pass", async () => {
  await assert.rejects(confirming({}), {
    ...refused(/nobody can be asked here/),
    hint: "To go on: observatory reset --confirm shop",
  });
});

Deno.test("confirmDestruction: the line that would pass can be pasted into a shell", async () => {
  await assert.rejects(confirming({ database: "my shop's; rm" }), {
    hint: "To go on: observatory reset --confirm 'my shop'\\''s; rm'",
  });
});

Deno.test("confirmDestruction: the question names the database and the server, and its name must be typed", async () => {
  const asked = confirming({}, " shop ");
  await asked;
  assert.equal(asked.questions.length, 1);
  assert.match(asked.questions[0] ?? "", /"shop" on db1:5432/);
  for (const answer of ["", "y", "yes", "SHOP", "shop2", null]) {
    await assert.rejects(confirming({}, answer), refused(/^Refused: reset was not confirmed;/));
  }
});

Deno.test("confirmDestruction: in production the typed name suffices", async () => {
  await confirming({ production: true }, "shop");
});

Deno.test("confirmDestruction: the line that would pass keeps what was given, but not what confirms", async () => {
  await assert.rejects(
    confirming({
      words: ["--no-seed", "--env", "my env", "--force", "--confirm", "a", "--confirm=b"],
      production: true,
      confirm: "b",
    }),
    { hint: "To go on: observatory reset --no-seed --env 'my env' --confirm shop" },
  );
});
