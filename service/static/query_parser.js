// What is typed: words to search by, and, behind a minus, what to take away.

const TAKEN_AWAY = /(^|\s)-(?:"([^"]+)"?|(\p{L}[^\s"]*))/gu;

/** "boots -leather -"red laces"" is {text: "boots", minus: ["leather", "red laces"]}; "t-shirt" and "-5" stay words. */
export function readWords(typed) {
  const minus = [];
  const text = typed.replace(TAKEN_AWAY, (_, before, quoted, word) => {
    const one = (quoted ?? word).trim();
    if (one && !minus.includes(one)) minus.push(one);
    return before;
  });
  return { text: text.replace(/\s+/g, ' ').trim(), minus };
}
