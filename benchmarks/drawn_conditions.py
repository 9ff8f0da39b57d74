"""Random conditions: well-formed ones, and damaged ones that try to escape from a filter."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

ROWS = 60
"""Number of rows in the table; each generated semantic ID belongs to one of them."""


def generate(count: int, seed: int = 0) -> Iterator[str]:
    """Generate random conditions: seven in ten are well formed, the others damaged.

    Args:
        count: number of conditions.
        seed: random seed; the same seed gives the same conditions.
    """
    draw = Random(seed)
    for _ in range(count):
        text = _Drawer(draw).condition(draw.choice((0, 1, 1, 2, 2, 3)))
        yield text if draw.random() < 0.7 else _damaged(draw, text)


class _Drawer:
    """Draws the parts of one condition, in one random case of keywords."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._case = draw.choice((str.upper, str.upper, str.lower, str.title))

    def condition(self, depth: int) -> str:
        if depth <= 0:
            return self._choose(self._comparison, self._comparison, self._test, self._flag)
        first = self.condition(depth - 1)
        choice = self._draw.random()
        if choice < 0.35:
            return f"{first} {self._word('and')} {self.condition(depth - 1)}"
        if choice < 0.65:
            return f"{first} {self._word('or')} {self.condition(depth - 1)}"
        if choice < 0.8:
            return f"({first}){self._space()}"
        if choice < 0.95:
            return f"{self._word('not')} {first}" if self._draw.random() < 0.5 else f"{self._word('not')} ({first})"
        return f"coalesce({first}, false)"

    def _comparison(self) -> str:
        kind = self._draw.choice((self._number, self._number, self._text, self._text, self._time, self._day))
        sign = self._draw.choice(("=", "==", "!=", "<>", "<", "<=", ">", ">="))
        gap = self._space()
        return f"{kind(1)}{gap}{sign}{gap}{kind(1)}"

    def _test(self) -> str:
        negated = self._draw.choice(("", "", self._word("not") + " "))
        numbers = ", ".join(self._number(0) for _ in range(self._draw.randint(1, 4)))
        texts = ", ".join(self._literal() for _ in range(self._draw.randint(1, 4)))
        like = self._draw.choice(("like", "ilike"))
        pattern = self._draw.choice(("'%o%'", "'red%'", "'%_'", "'50\\%%'", "'%''%'", "'%é'", "'i_0%'", "title || '%'"))
        number, text = self._number(1), self._text(1)
        return self._draw.choice(
            (
                f"{number} {negated}{self._word('in')} ({numbers})",
                f"{text} {negated}{self._word('in')} ({texts})",
                f"{text} {negated}{self._word(like)} {pattern}",
                f"{number} {negated}{self._word('between')} {self._number(0)} {self._word('and')} {self._number(1)}",
                f"{self._time(0)} {negated}{self._word('between')} {self._time(0)} {self._word('and')} {self._time(0)}",
                f"{self._any()} {self._word('is')} {negated}{self._word('null')}",
                f"{self._name('on_sale')} {self._word('is')} {negated}{self._draw.choice(('true', 'FALSE', 'null'))}",
                f"array_has({self._name('tags')}, {self._literal()})",
                f"array_has_any({self._name('tags')}, ['a', 'c'])",
                f"{self._draw.choice(('array_has', 'array_contains'))}([{texts}], {self._name('title')})",
                f"regexp_like({text}, '^[a-z ]+$')",
                f"{self._draw.choice(('starts_with', 'ends_with'))}({text}, {self._literal()})",
                f"semantic_id {negated}{self._word('like')} '{self._draw.randint(0, 4)}-%'",
                f"`semantic_id` {self._draw.choice(('=', '!='))} '{self._semantic_id()}'",
                f"semantic_id {negated}{self._word('in')} ('{self._semantic_id()}', '{self._semantic_id()}')",
            )
        )

    def _flag(self) -> str:
        return self._draw.choice(
            (
                self._name("on_sale"),
                f"{self._name('on_sale')} = true",
                "true",
                "FALSE",
                "is_valid(stock)",
                "stock::boolean",
            )
        )

    def _number(self, depth: int) -> str:
        if depth <= 0:
            literal = self._draw.choice(("0", "1", "2.5", "-3", "- 1.5", "1e2", "100", "0.25", "10.", "-0.5e1", "007"))
            return self._draw.choice((literal, self._name("price"), self._name("stock"), "maker.Rank"))
        return self._choose(
            lambda: self._number(0),
            lambda: self._number(0),
            lambda: self._number(0),
            lambda: f"{self._number(0)} {self._draw.choice('+-*/%')} {self._number(depth - 1)}",
            lambda: f"({self._number(depth - 1)}{self._draw.choice('+*')}{self._number(0)})",
            lambda: f"-{self._name('price')}",
            lambda: f"{self._word('cast')}({self._number(0)} {self._word('as')} {self._type()})",
            lambda: f"{self._word('try_cast')}({self._text(0)} {self._word('as')} {self._type()})",
            lambda: f"stock::{self._type()}",
            lambda: f"{self._draw.choice(('abs', 'ceil', 'FLOOR', 'round'))}({self._number(depth - 1)})",
            lambda: f"{self._draw.choice(('length', 'char_length'))}({self._text(depth - 1)})",
            lambda: f"array_length({self._name('tags')})",
            lambda: f"coalesce({self._number(0)}, 0)",
            lambda: f"date_part('{self._draw.choice(('year', 'month'))}', {self._name('created_at')})",
            lambda: f"strpos({self._name('title')}, 'o')",
            lambda: f"coalesce(CASE WHEN {self._comparison()} THEN 1 WHEN on_sale THEN 2 ELSE 3 END, 0)",
        )

    def _text(self, depth: int) -> str:
        names = ("item_id", "title", "text", "CamelCase", "with space", "order", "naïve", "it's", 'dq"x')
        if depth <= 0:
            return self._draw.choice(
                (self._literal(), self._name(self._draw.choice(names)), "maker.name", "maker['name']")
            )
        return self._choose(
            lambda: self._text(0),
            lambda: self._text(0),
            lambda: self._text(0),
            lambda: f"{self._text(0)} || {self._text(0)}",
            lambda: f"{self._draw.choice(('lower', 'UPPER', 'trim', 'btrim', 'ltrim'))}({self._text(depth - 1)})",
            lambda: f"{self._draw.choice(('substr', 'substring'))}({self._text(depth - 1)}, 1, 2)",
            lambda: f"{self._draw.choice(('left', 'right'))}({self._text(depth - 1)}, 2)",
            lambda: f"{self._word('cast')}(stock {self._word('as')} {self._draw.choice(('string', 'STRING', 'text'))})",
            lambda: f"nullif({self._text(0)}, '')",
            lambda: f"{self._name('tags')}[1]",
        )

    def _time(self, _depth: int) -> str:
        moments = ("2020-03-01", "2020-06-01 12:00:00", "2020-10-01T00:00:00Z", "2020-05-01T00:00:00+02:00")
        moment = self._draw.choice(moments)
        kind = self._draw.choice(("timestamp", "TIMESTAMP(3)"))
        return self._draw.choice(
            (
                self._name("created_at"),
                self._name("created_at"),
                f"{self._word('timestamp')} '{moment}'",
                f"{self._word('cast')}('{moment}' {self._word('as')} {kind})",
                f"to_timestamp('{moment}')",
                f"date_trunc('month', {self._name('created_at')})",
                f"'{moment}'",
                "now()",
            )
        )

    def _day(self, _depth: int) -> str:
        return self._draw.choice(
            (
                self._name("day"),
                self._name("day"),
                "date '2021-01-01'",
                "'2021-06-01'::date",
                "current_date",
                "CURRENT_DATE()",
            )
        )

    def _any(self) -> str:
        return self._choose(
            lambda: self._number(1),
            lambda: self._text(1),
            lambda: self._time(0),
            lambda: self._name("tags"),
            lambda: self._name("day"),
        )

    def _literal(self) -> str:
        words = (
            "red shoe",
            "it''s a band",
            'a "quoted" one',
            "50% off",
            "naïve café",
            "",
            "日本",
            "a",
            "NULL",
            "i007",
            "--",
        )
        return f"'{self._draw.choice(words)}'"

    def _name(self, name: str) -> str:
        plain = name.isidentifier()
        choice = self._draw.random()
        if plain and choice < 0.6:
            return name
        if plain and choice < 0.7:
            return self._case(name)
        return f"`{name}`" if choice < 0.9 else '"' + name.replace('"', '""') + '"'

    def _type(self) -> str:
        return self._draw.choice(
            (
                "int",
                "INT",
                "bigint",
                "double",
                "float",
                "smallint",
                "DECIMAL(9, 2)",
                "integer",
                "int unsigned",
                "numeric(9,1)",
            )
        )

    def _semantic_id(self) -> str:
        n = self._draw.randrange(ROWS)
        return f"{n % 4}-{n % 7}-{n}"

    def _word(self, word: str) -> str:
        return self._case(word)

    def _space(self) -> str:
        return self._draw.choice((" ", " ", " ", "", "  ", "\n", "\t"))

    def _choose(self, *drawers: object) -> str:
        drawer = self._draw.choice(drawers)
        assert callable(drawer)
        return str(drawer())


_INSERTIONS = (
    *(
        "'",
        '"',
        "`",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        ";",
        "-",
        "--",
        "/*",
        "*/",
        "\\",
        "\\'",
        "=",
        "<",
        "|",
        "||",
        "::",
        ":",
    ),
    *(" NOT ", " AND ", " OR ", " NULL ", " IS ", " IN ", " LIKE ", " BETWEEN ", " ESCAPE '!'", " CASE ", " END "),
    *(" AS x", " SELECT ", " ANY ", " IS NULL ", " = true ", " IS NOT TRUE", " IN (true)", " LIKE 'a'"),
    *("E", "X", "0x", "1", "e", "$1", "@", "#", "~", "!", "^", "&", "{", "}", "%", "?", "\u00a0", "é", "\0"),
)
_ATTEMPTS = (
    "{}) OR (1 = 1",
    "{}; DROP TABLE items",
    "{} -- and the rest",
    "{} /* and */ OR true",
    "1 = 1) UNION SELECT * FROM items WHERE ({}",
    "item_id IN (SELECT item_id FROM items WHERE {})",
    "EXISTS (SELECT 1 FROM items WHERE {})",
    "title = E'\\' OR {}",
    "title = '\\' OR ' OR {}",
    "title = '' OR ''='' OR {}",
    "{} ORDER BY price",
    "{} LIMIT 1",
    "{} GROUP BY title HAVING true",
    "count(*) > 1 AND {}",
    "row_number() OVER () = 1 OR {}",
    "{{fn upper(title)}} = 'A' OR {}",
    "$${}$$ = 'a'",
    "title SIMILAR TO 'a' OR {}",
    "title ~ 'a' OR {}",
    "(price, stock) = (1, 2) OR {}",
    "price IS DISTINCT FROM 1 OR {}",
    "{} = true",
    "NOT {} IS NULL",
    "{} = {} = true",
    "a.b.c.d.e = 1 OR {}",
)


def _damaged(draw: Random, text: str) -> str:
    if draw.random() < 0.3:
        return draw.choice(_ATTEMPTS).replace("{}", text).replace("{{", "{").replace("}}", "}")
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(text) + 1)
        choice = draw.random()
        if choice < 0.5:
            text = text[:place] + draw.choice(_INSERTIONS) + text[place:]
        elif choice < 0.75:
            text = text[:place] + text[place + draw.randint(1, 4) :]
        else:
            words = text.split(" ")
            spot = draw.randrange(len(words))
            words[spot : spot + 1] = draw.choice(([], [words[spot]] * 2, words[spot : spot + 2][::-1]))
            text = " ".join(words)
    return text
