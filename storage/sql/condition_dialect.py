"""The SQL of LanceDB's conditions, for sqlglot: the words and signs that a condition may have, and how they nest.

Tokens and parsers that a condition has no use for are left out, so that nothing else parses: no SELECT, no comments,
no semicolons. For `condition_parser.py` alone.
"""

# ruff: noqa: RUF012 - sqlglot reads its settings from class attributes

from __future__ import annotations

from typing import Final

from sqlglot import Token, TokenType, exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError

_SIGNS: Final = {
    "(": TokenType.L_PAREN, ")": TokenType.R_PAREN, "[": TokenType.L_BRACKET, "]": TokenType.R_BRACKET,
    ",": TokenType.COMMA, ".": TokenType.DOT, "+": TokenType.PLUS, "-": TokenType.DASH, "*": TokenType.STAR,
    "/": TokenType.SLASH, "%": TokenType.MOD, "=": TokenType.EQ, "<": TokenType.LT, ">": TokenType.GT,
}  # fmt: skip


OF_THE_TEXT: Final = "of_the_text"
"""The mark of parentheses that are in the text, in a node's `meta`."""


class ConditionDialect(Dialect):
    """The part of LanceDB 0.40's SQL that conditions may use. The only escape in strings is a doubled quote."""

    class Tokenizer(tokens.Tokenizer):
        QUOTES = ["'"]
        STRING_ESCAPES = ["'"]
        IDENTIFIERS = ["`", '"']
        COMMENTS = []
        NESTED_COMMENTS = False
        HINT_START = "\0"  # a hint would be skipped like a comment
        COMMANDS = set()
        SINGLE_TOKENS = {**dict.fromkeys("'\"`;:!|{}&^~#@$?\\", TokenType.UNKNOWN), **_SIGNS}
        KEYWORDS = {
            "==": TokenType.EQ, "!=": TokenType.NEQ, "<>": TokenType.NEQ, "<=": TokenType.LTE, ">=": TokenType.GTE,
            "||": TokenType.DPIPE, "::": TokenType.DCOLON,
            "AND": TokenType.AND, "OR": TokenType.OR, "NOT": TokenType.NOT, "IS": TokenType.IS, "IN": TokenType.IN,
            "LIKE": TokenType.LIKE, "ILIKE": TokenType.ILIKE, "ESCAPE": TokenType.ESCAPE,
            "BETWEEN": TokenType.BETWEEN, "NULL": TokenType.NULL, "TRUE": TokenType.TRUE, "FALSE": TokenType.FALSE,
            "CASE": TokenType.CASE, "WHEN": TokenType.WHEN, "THEN": TokenType.THEN, "ELSE": TokenType.ELSE,
            "END": TokenType.END, "ARRAY": TokenType.ARRAY, "AS": TokenType.ALIAS,
            "BOOLEAN": TokenType.BOOLEAN, "BOOL": TokenType.BOOLEAN,
            "TINYINT": TokenType.TINYINT, "SMALLINT": TokenType.SMALLINT, "INT": TokenType.INT,
            "INTEGER": TokenType.INT, "BIGINT": TokenType.BIGINT, "FLOAT": TokenType.FLOAT, "REAL": TokenType.FLOAT,
            "DOUBLE": TokenType.DOUBLE, "DECIMAL": TokenType.DECIMAL, "NUMERIC": TokenType.DECIMAL,
            "STRING": TokenType.TEXT, "TEXT": TokenType.TEXT, "VARCHAR": TokenType.TEXT, "BINARY": TokenType.BINARY,
            "DATE": TokenType.DATE, "TIMESTAMP": TokenType.TIMESTAMP, "DATETIME": TokenType.TIMESTAMP,
        }  # fmt: skip

    class Parser(parser.Parser):
        # every function keeps its name and its arguments as they are written
        FUNCTIONS = {}
        NO_PAREN_FUNCTIONS = {}
        FUNCTION_PARSERS = {
            name: made for name, made in parser.Parser.FUNCTION_PARSERS.items() if name in {"CAST", "TRY_CAST"}
        }
        NO_PAREN_FUNCTION_PARSERS = {"CASE": parser.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
        QUERY_MODIFIER_PARSERS = {}
        STATEMENT_PARSERS = {}

        def _parse_paren(self) -> exp.Expr | None:
            """Mark the parentheses of the text: sqlglot puts some into trees that say how it reads a text itself."""
            made = super()._parse_paren()
            if isinstance(made, exp.Paren):
                made.meta[OF_THE_TEXT] = True
            return made


def parse(text: str, found: list[Token]) -> exp.Expr:
    """Parse the tokens of a condition.

    Raises:
        sqlglot.errors.ParseError: they are no condition.
        RecursionError: they nest too deeply.
    """
    made = _DIALECT.parser(error_level=ErrorLevel.IMMEDIATE).parse_into(exp.Condition, found, text)[0]
    if made is None:
        raise ParseError("there is no condition")
    return made


def tokenize(text: str) -> list[Token]:
    """Split a condition into tokens; tokens without a meaning in conditions have the type UNKNOWN or VAR.

    Raises:
        sqlglot.errors.TokenError: a quote is not closed.
    """
    return _DIALECT.tokenize(text)


_DIALECT: Final = ConditionDialect()
