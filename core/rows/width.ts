/** How texts look on a terminal: how wide they are, and without what it would obey. */

/** Nothing but characters that are one column wide each, and no other ones. */
export const PLAIN = /^[\x20-\x7e\xa0-\u02ff]*$/;

// Controls, line and paragraph separators, and what turns the direction of other text around.
// deno-lint-ignore no-control-regex -- these are what a terminal must not get
const OBEYED = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;
const NAMED: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

/** A text with what a terminal would obey written as escapes, such as `\t` and `\x1b`. */
export function harmless(text: string): string {
  return text.replace(OBEYED, (character) => {
    const hex = character.charCodeAt(0).toString(16);
    return NAMED[character] ??
      (hex.length > 2 ? `\\u${hex.padStart(4, "0")}` : `\\x${hex.padStart(2, "0")}`);
  });
}

/** What makes several characters one sign: joiners, emoji variants, skin tones, flags, keycaps. */
const JOINED = /[\u200d\ufe0f\u20e3\u{1f1e6}-\u{1f1ff}\u{1f3fb}-\u{1f3ff}]/u;
const PICTURE = /\p{Emoji_Presentation}|[\ufe0f\u20e3]|\p{RI}{2}/u;
const NO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff\ud7b0-\ud7ff]$/u;
let segmenter: Intl.Segmenter | undefined;

/** How many columns a text without controls takes. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  if (!JOINED.test(text)) {
    for (const character of text) width += characterWidth(character);
    return width;
  }
  segmenter ??= new Intl.Segmenter();
  for (const { segment } of segmenter.segment(text)) {
    if (PICTURE.test(segment)) width += 2;
    else for (const character of segment) width += characterWidth(character);
  }
  return width;
}

function characterWidth(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (PLAIN.test(character)) return 1;
  if (NO_WIDTH.test(character)) return 0;
  return isWide(code) || /^\p{Emoji_Presentation}$/u.test(character) && !isFlagPart(code) ? 2 : 1;
}

function isFlagPart(code: number): boolean {
  return code >= 0x1f1e6 && code <= 0x1f1ff;
}

/** First and last of what Unicode's East Asian Width calls wide or full-width, emoji left out. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2329, 0x232a],
  [0x2e80, 0x303e],
  [0x3041, 0x3247],
  [0x3250, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6b],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18cff],
  [0x1aff0, 0x1b2ff],
  [0x1f200, 0x1f265],
  [0x20000, 0x3fffd],
];

function isWide(code: number): boolean {
  return WIDE.some(([first, last]) => code >= first && code <= last);
}
