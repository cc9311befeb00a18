import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { splitWords } from "../../plugins/query/words.ts";

/** What sh makes of the same line. */
async function wordsOfShell(line: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `printf '%s\\0' ${line}`],
  }).output();
  return new TextDecoder().decode(stdout).split("\0").slice(0, -1);
}

Deno.test("words: are those that sh splits, where it expands nothing", async () => {
  for (
    const line of [
      "a",
      "  a   b\tc ",
      "a 'b c' d",
      'a "b c" d',
      "a'b'\"c\"d",
      "'' \"\" a",
      "a\\ b c\\'d",
      '"a\\"b\\\\c\\n\\$d"',
      "'a\\b'",
      "'$HOME `ls` * > x'",
      '"* ? > | ~ #"',
      "a~ b#c x=~",
      "--flag=1 -x é→",
      "'a\nb'",
    ]
  ) assert.deepEqual(splitWords(line), await wordsOfShell(line), line);
});

Deno.test("words: what only a shell can do is refused, not passed on as it stands", () => {
  for (
    const line of [
      "a > b",
      "a | b",
      "a; b",
      "a && b",
      "a $HOME",
      'a "$HOME"',
      "a `b`",
      'a "`b`"',
      "a *",
      "a b?",
      "a [b]",
      "a (b)",
      "a ~/b",
      "a # b",
      "a\nb",
    ]
  ) {
    assert.throws(() => splitWords(line), (error) => {
      assert(error instanceof OperationError);
      assert.equal(error.kind, "usage", line);
      assert.match(error.message, /^Cannot pass .+ to the script/);
      return true;
    });
  }
});

Deno.test("words: an open quote is refused", () => {
  for (const line of ["a 'b", 'a "b', "a \\", '"a\\"']) {
    assert.throws(() => splitWords(line), /a quote is left open/, line);
  }
});
