// Parse the typed query: words to search for, and exclusions after a minus.

const EXCLUDED = /(^|\s)-(?:"([^"]+)"?|(\p{L}[^\s"]*))/gu;

/** "boots -leather -"red laces"" is {text: "boots", minus: ["leather", "red laces"]}; "t-shirt" and "-5" stay in the text. */
export function parseQuery(typed) {
  const minus = [];
  const text = typed.replace(EXCLUDED, (_, before, quoted, word) => {
    const excluded = (quoted ?? word).trim();
    if (excluded && !minus.includes(excluded)) minus.push(excluded);
    return before;
  });
  return { text: text.replace(/\s+/g, ' ').trim(), minus };
}
