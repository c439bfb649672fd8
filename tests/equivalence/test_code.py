"""Answers that are code, and how little may tell them apart."""

from __future__ import annotations

import pytest

from confroute import TextEquivalence

DIFFERENT = [
    ("SELECT * FROM products ORDER BY price DESC LIMIT 5;", "SELECT * FROM products ORDER BY price LIMIT 5;"),
    ("SELECT COUNT(*) FROM users WHERE age > 30", "SELECT * FROM users WHERE age > 30"),
    ("SELECT name FROM users WHERE age <> 30", "SELECT name FROM users WHERE age = 30"),
    ("DELETE FROM users", "DELETE FROM users WHERE age > 30"),
    ("update users set age = 1", "UPDATE users SET age = 1 WHERE id = 2;"),
    ("SELECT a - b FROM t", "```sql\nSELECT b - a FROM t\n```"),
    ("```python\nreturn x < 0\n```", "```python\nreturn x > 0\n```"),
    ("git push --force", "git push"),
    ("grep -i foo f", "grep -v foo f"),
    ("Use `git checkout -b x`", "Use `git checkout x`"),
]

SAME = [
    ("SELECT * FROM users WHERE age >= 18", "select *\nfrom users\nwhere age>=18;"),
    ("SELECT * FROM users", "```sql\nSELECT * FROM users;\n```"),
    ("```bash\nls -la\n```", "ls -la"),
    ("Delete the app and restart", "Delete the app, and then restart"),
    ("Update the driver", "Update the old driver"),
    ("With a large fleet, Oslo won", "With a large fleet of ships, Oslo won"),
    ("git push --force origin", "git push origin --force"),
]


def agree(a: str, b: str) -> bool:
    verdicts = TextEquivalence().same([(a, b), (b, a)], question="")
    assert verdicts[0] == verdicts[1]
    return verdicts[0]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_other_code(a: str, b: str) -> None:
    """A clause, a sign or an option more is another query or command."""
    assert not agree(a, b)


@pytest.mark.parametrize(("a", "b"), SAME)
def test_the_same_code(a: str, b: str) -> None:
    """White space, case, a fence and the last semicolon do not count; sentences that begin alike are no code."""
    assert agree(a, b)
