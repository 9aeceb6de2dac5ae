"""Secrets in Google Cloud's Secret Manager, for workers that have neither the submitter's variables nor its files."""

from clickstream.io.errors import UserError


def read_secret_version(name: str) -> str:
    """Returns the text of `projects/P/secrets/S/versions/V` (V: a number, or `latest`), less a trailing newline.

    Asks with the machine's own credentials: on a Dataflow worker those of its service account. Outages of up to a minute are waited for.

    Raises:
        UserError: There is no such version, it's disabled, it's no text, or it may not be read.
    """
    # Imported where they are needed: they take a second, and few read secrets from here.
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import secretmanager

    try:
        with secretmanager.SecretManagerServiceClient(transport="rest") as client:
            return str(client.access_secret_version(name=name).payload.data.decode()).rstrip("\r\n")
    except GoogleAuthError as error:
        raise UserError(_text(name, f"there are no usable credentials ({type(error).__name__})")) from None
    except (GoogleAPICallError, RetryError) as error:
        raise UserError(_text(name, type(error).__name__)) from None
    except UnicodeDecodeError:
        raise UserError(_text(name, "it is no text")) from None


def _text(name: str, why: str) -> str:
    return (
        f"The secret {name} can't be read ({why}): check project, name and version, and that whoever reads it, on Dataflow the workers' "
        "service account, has the role Secret Manager Secret Accessor."
    )
