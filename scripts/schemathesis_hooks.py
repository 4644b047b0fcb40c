"""What schemathesis cannot know of the API, loaded by scripts/schemathesis.toml."""

import schemathesis


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """In sequences, creates come without Idempotency-Key.

    A repeated key gets the first answer again, though what that answer made may have been deleted since: schemathesis would
    take it for a resource that was created and cannot be found. Single requests still carry keys.
    """
    if case.meta is not None and case.meta.phase.name == "stateful" and case.headers:
        case.headers.pop("Idempotency-Key", None)
