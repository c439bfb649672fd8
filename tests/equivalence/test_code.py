"""Answers that are code, and how little may tell them apart."""

from __future__ import annotations

import pytest

from confroute import TextEquivalence

DIFFERENT = [
    ("```python\nx = n // 2\n```", "```python\nx = n // 3\n```"),
    ("```python\nx = 'a # b'\n```", "```python\nx = 'a # c'\n```"),
    ("```python\nx = 'it\\'s # b'\n```", "```python\nx = 'it\\'s # c'\n```"),
    ('```python\nx = "it\'s # b"\n```', '```python\nx = "it\'s # c"\n```'),
    ("Use this:\n```bash\ngit branch -d x\n```", "Use this:\n```bash\ngit branch -D x\n```"),
    ("You can run:\n```\ncurl -o x u\n```", "You can run:\n```\ncurl -O x u\n```"),
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
    ("Run rm -r build", "Run rm build"),
    ("The option is -i.", "The option is -v."),
    ("The option is `-i`", "The option is `-v`"),
    ("The derivative is -sin(x).", "The derivative is −cos(x)."),
    ("The derivative of cos(x) is -sin(x).", "The derivative of cos(x) is sin(x)."),
    ("The derivative of cos(x) is sin(x).", r"The derivative of cos(x) is $-\sin(x)$."),
    ("select id from users where email is null order by id", "select id from users where email is null"),
    ("select a, b from t order by a", "select a, b from t"),
    ("```python\nx = 1 # one\n```", "```python\nx = 2 # one\n```"),
    ("```c\n#define A\nf(A)\n```", "```c\n#define B\nf(A)\n```"),
    ("Here it is:\n\n```sql\nDELETE FROM users;\n```", "Here it is:\n\n```sql\nDELETE FROM users WHERE age > 1;\n```"),
    ("Here it is:\n```sql\nSELECT * FROM t LIMIT 5;\n```\nIt works.", "SELECT * FROM t ORDER BY a LIMIT 5;"),
    (
        "Install it:\n```\npip install a\n```\nRun it:\n```\na -x\n```",
        "Do:\n```\npip install a\n```\nRun:\n```\na -y\n```",
    ),
    ("```sql\nSELECT a FROM t WHERE b = 'c'\n```", '```sql\nSELECT a FROM t WHERE b = "c"\n```'),
    ("```bash\necho '$HOME'\n```", '```bash\necho "$HOME"\n```'),
    ("```\nprint(1)\n```\nOutput:\n```\n1\n```", "```\nprint(2)\n```\nOutput:\n```\n1\n```"),
    ("```\nprint(1)\n```\nOutput:\n```\n1\n```", "```\n1\n```"),
    (
        "The query, as asked:\n```sql\nSELECT a FROM t ORDER BY",
        "The query, as asked:\n```sql\nSELECT a FROM t ORDER BY a",
    ),
]

SAME = [
    ("```python\nreturn 2 * x\n```", "```python\nreturn 2 * x # it's doubled\n```"),
    ("```python\nprint('a')\n```", "```python\nprint('a') # it prints\n```"),
    ("```js\nreturn x;\n```", "```js\nreturn x; // done\n```"),
    ("```python\ndef f():\n    return 1\n```", "```python\ndef f():\n    '''It's one.'''\n    return 1\n```"),
    ("SELECT * FROM users WHERE age >= 18", "select *\nfrom users\nwhere age>=18;"),
    ("SELECT * FROM users", "```sql\nSELECT * FROM users;\n```"),
    ("SELECT * FROM users", "Here is the query:\n```sql\nSELECT * FROM users;\n```"),
    ("```python\nreturn x\n```", "Here you are:\n\n```python\nreturn x\n```\nHope it helps."),
    ("Press Escape, then type `:q!`", "Press Escape, then type\n```\n:q!\n```"),
    ("```bash\nls -la\n```", "ls -la"),
    ("Delete the app and restart", "Delete the app, and then restart"),
    ("Update the driver", "Update the old driver"),
    ("With a large fleet, Oslo won", "With a large fleet of ships, Oslo won"),
    ("git push --force origin", "git push origin --force"),
    ("The option is -i.", "The option is `-i`."),
    ("The option is -i.", "The option is **-i**"),
    ("The -r flag means recursive.", "The flag means recursive."),
    ("The derivative of cos(x) is -sin(x).", "The derivative of cos(x) is −sin(x)."),
    ("The derivative of cos(x) is -sin(x).", r"The derivative of cos(x) is $-\sin(x)$."),
    ("x = -y", "x = (-y)"),
    ("The roots are -b and b.", "The roots are $-b$ and $b$."),
    ("The sky is blue -because of scattering.", "The sky is blue because of scattering."),
    ("Run `python --version`.", "Run python --version or python -V."),
    ("Use `df -h`.", "Use `df` with the -h flag."),
    ("Select Forgot Password from the login page.", 'Select "Forgot password" from the login page'),
    ("select billing, then export from the menu", "select billing and then export from the menu"),
    ("Update filters set by clicking Filters.", "Update filters set by clicking on Filters."),
    ("Delete from the contact list by swiping left.", "Delete from the contact list by swiping to the left."),
    ("```bash\n$ pip install requests\n```", "```bash\npip install requests\n```"),
    ("```bash\n# Install it\npip install requests\n```", "```bash\npip install requests\n```"),
    ("```sql\n-- All of them\nSELECT * FROM t\n```", "```sql\nSELECT * FROM t\n```"),
    ("```python\n>>> s[::-1]\n```", "```python\ns[::-1]\n```"),
    ("```python\nreturn 2 * x\n```", "```python\nreturn 2 * x  # double it\n```"),
    ("```js\nreturn 2 * x\n```", "```js\nreturn 2 * x;  // double it\n```"),
    ("```python\nprint('hello')\n```", '```python\nprint("hello")\n```'),
    ("Use pip:\n```\npip install a\n```", "Use pip:\n```\npip install a\n```\nor:\n```\nconda install a\n```"),
    ("Do:\n```\nprint(1)\n```", "Do:\n```\nprint(1)\n```\nOutput:\n```\n1\n```"),
    ('```python\ndef f(a):\n    """Double."""\n    return a * 2\n```', "```python\ndef f(a):\n    return a * 2\n```"),
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
    """White space, case, a fence, comments, prompts, the last semicolon and how a hyphen is written or marked do not
    count; sentences that begin alike are no code."""
    assert agree(a, b)
