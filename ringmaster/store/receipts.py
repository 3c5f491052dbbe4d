"""Rows of receipts: what each gate run showed."""

from __future__ import annotations

from ringmaster.model.receipt import Receipt
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("receipts")
decode_receipt = decoder(Receipt, "tests_failed")


def insert_receipt(conn: Connection, receipt: Receipt) -> int:
    """Store a receipt and return its id; the one in `receipt` is ignored."""
    return int(
        conn.value(
            queries.insert,
            {
                "project_id": receipt.project_id,
                "attempt_id": receipt.attempt_id,
                "gate": receipt.gate,
                "commit": receipt.commit,
                "tree": receipt.tree,
                "result": str(receipt.result),
                "tests_total": receipt.tests_total,
                "tests_failed": encode_json(receipt.tests_failed),
                "is_flaky": int(receipt.is_flaky),
                "job": receipt.job,
                "started_at": receipt.started_at,
                "ended_at": receipt.ended_at,
            },
        )
    )


def receipt_of_commit(conn: Connection, project_id: str, commit: str, gate: str) -> Receipt | None:
    """The newest receipt of this gate on this commit."""
    return decode_receipt.optional(conn.row(queries.of_commit, (project_id, commit, gate)))


def green_receipt_of_tree(conn: Connection, project_id: str, tree: str, gate: str) -> Receipt | None:
    """The newest green receipt of this gate on any commit with this tree."""
    return decode_receipt.optional(conn.row(queries.green_of_tree, (project_id, tree, gate)))


def receipts_of_attempt(conn: Connection, attempt_id: str) -> list[Receipt]:
    """An attempt's receipts in order, for looking at: what cannot be read of one is left empty."""
    return [decode_receipt.salvage(row)[0] for row in conn.rows(queries.of_attempt, (attempt_id,))]
