"""Every error that a person can mend, as one tree.

    GuesslikeError            the message names the thing and the mend; exit code 2
    ├── SettingsError         a setting is unknown, unsafe or out of range
    ├── DataError             a table, column or row of a dataset
    ├── FilterError           a filter expression
    ├── ModelError            a model folder: absent, corrupt, foreign
    │   └── GateError         a sound model that is not good enough to publish
    ├── AccessError           a key or a signing secret: unknown, damaged, open to others
    ├── FeedError             the feed's store: unreachable, unsafe, full
    ├── CampaignError         a campaign file, plan or template
    │   └── ChannelError      a provider that takes nothing from us: login, certificate, address
    └── LedgerError           the ledger: another key, clock, epoch or version
        └── StaleInstantError an instant before what the ledger has seen: read the clock again

Anything else that is raised is a defect of ours and keeps its traceback.
"""


class GuesslikeError(Exception):
    """What a person can mend. The message says what to do next."""


class SettingsError(GuesslikeError):
    """A setting is unknown, unsafe or out of range."""


class DataError(GuesslikeError):
    """A dataset lacks a table or a column, or too many of its rows are bad."""


class FilterError(GuesslikeError):
    """A filter expression does not parse or names an unknown field."""


class ModelError(GuesslikeError):
    """A model folder is absent, corrupt or of a foreign format."""


class GateError(ModelError):
    """A sound model that is not good enough to publish."""


class AccessError(GuesslikeError):
    """A key is unknown, or the file of keys or signing secrets is damaged or open to others."""


class FeedError(GuesslikeError):
    """The feed's store is unreachable, unsafe or full. Retrying may help."""


class CampaignError(GuesslikeError):
    """A campaign file, plan or template is wrong."""


class ChannelError(CampaignError, OSError):
    """A provider takes nothing from us as things are. What was being sent was not delivered."""


class LedgerError(GuesslikeError):
    """The ledger belongs to another key, clock, epoch or version."""


class StaleInstantError(LedgerError):
    """An instant before what the ledger has seen: a clock that went back, or a long wait."""
