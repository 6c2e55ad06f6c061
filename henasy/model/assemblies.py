"""The designs that the paper holds its own against (Table 4), as changes to any config of the complete model.

Source: HENASY section 5.4; what it leaves open as PROTOCOLS section 5.2 settles it.
"""

from dataclasses import replace

from henasy.model.config import MEAN, PATCHES, SELF_ATTENTION, HenasyConfig

COMPLETE = "complete settings"
AVERAGE_POOL, SELF_DECODER, WITHOUT_BOOTSTRAP = "w/ avg. pool", "w/ SA dec.", "w/o bootstrap"


def table_4(config: HenasyConfig) -> dict[str, HenasyConfig]:
    """The rows of Table 4 by the paper's names, at the sizes of `config`, which is the complete model."""
    return {
        AVERAGE_POOL: with_average_pool(config),
        SELF_DECODER: with_self_attention_decoder(config),
        WITHOUT_BOOTSTRAP: without_bootstrap(config),
        COMPLETE: config,
    }


def with_average_pool(config: HenasyConfig) -> HenasyConfig:
    """No decoder: the video feature is the mean of the entities, as wide as they are."""
    width, heads = config.local.width, config.local.heads
    return replace(config, decoder=replace(config.decoder, design=MEAN, width=width, heads=heads))


def with_self_attention_decoder(config: HenasyConfig) -> HenasyConfig:
    """Entities and patches together in self-attention blocks of the decoder's size."""
    return replace(config, decoder=replace(config.decoder, design=SELF_ATTENTION))


def without_bootstrap(config: HenasyConfig) -> HenasyConfig:
    """No segments: the entity stage takes the patches of level S1 and groups them itself."""
    return replace(config, local=replace(config.local, grouped=PATCHES))
