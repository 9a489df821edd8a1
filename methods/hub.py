"""Which commit a model id on the Hugging Face Hub stands for: asked online, or of the local cache."""

from __future__ import annotations

from pathlib import Path

from tasks.errors import BadInput, first_line


def cached_revision(model: str, asked: str) -> str:
    """Return the commit that the local cache has of a model.

    Args:
        model: its id.
        asked: a branch, tag or commit.

    Raises:
        BadInput: it is no id, or the cache does not have it.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model, "config.json", revision=asked)
    except HFValidationError as error:
        raise BadInput(f"model: {model!r} is neither a folder nor a model id on the Hub") from error
    if not isinstance(config, str):
        shown = model if asked == "main" else f"{model}@{asked}"
        raise BadInput(
            f"model: {shown!r} is not in the local Hugging Face cache and the Hub was not asked (offline); "
            "run `leanboard prefetch` with a network, or name a folder or 'minilm'"
        )
    # A cached file lies in .../snapshots/<commit>/.
    return Path(config).parent.name


def newest_revision(model: str, asked: str) -> str:
    """Return the commit that the Hub has now of a model, or the cache's where the Hub cannot be reached.

    Args:
        model: its id.
        asked: a branch, tag or commit.

    Raises:
        BadInput: it is no id, the Hub does not have it, or neither Hub nor cache can be asked.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().model_info(model, revision=asked, timeout=10).sha or asked
    except HFValidationError as error:
        raise BadInput(f"model: {model!r} is neither a folder nor a model id on the Hub") from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"model: the Hub has no model {model!r}; check the id, or log in if it is private"
        ) from error
    except RevisionNotFoundError as error:
        raise BadInput(
            f"model: {model!r} has no revision {asked!r} on the Hub; name a branch, tag or whole commit"
        ) from error
    except Exception as error:  # What the Hub's HTTP client raises depends on the client's version.
        try:
            return cached_revision(model, asked)
        except BadInput:
            reason = first_line(error)
            raise BadInput(
                f"model: the Hub cannot be asked for {model!r} ({reason}) and it is not in the local cache; "
                "fix the network, or name a folder or 'minilm'"
            ) from error
