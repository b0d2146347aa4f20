# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of filters as one line each, which never quotes what the filter was given."""

from __future__ import annotations

import functools

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable


def filter_errors(function, error_class: type):
    """Wrap a filter: its ValueError becomes error_class with that line, anything else one that names only the type.

    The message of an unexpected error may hold the value, and with it a secret; so does its traceback.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            message = printable(str(error).splitlines()[0])
            # Python's own, which quote the value.
            if message.startswith(("invalid literal", "could not convert", "dictionary update")):
                message = "cannot work with what it was given (ValueError)"
        except (TypeError, KeyError, AttributeError) as error:
            message = f"cannot work with what it was given ({type(error).__name__})"
        raise error_class(f"{function.__name__}: {message}")

    return wrapped
