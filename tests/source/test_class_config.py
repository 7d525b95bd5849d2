"""The configuration of a network that has the classes of several others."""

from weightspace.source.class_config import joined_config

LABELS = {"model_type": "vit", "num_labels": 2, "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}}


def test_classes_keep_their_names():
    found = joined_config([LABELS, {"id2label": {"0": "oak"}}], [2, 1])
    assert found == {
        "model_type": "vit",
        "id2label": {"0": "cat", "1": "dog", "2": "oak"},
        "label2id": {"cat": 0, "dog": 1, "oak": 2},
    }


def test_names_that_are_missing_or_the_same_become_numbers():
    for other in (None, {}, LABELS, {"id2label": {"0": "oak"}}):
        found = joined_config([LABELS, other], [2, 2])
        assert list(found["id2label"].values()) == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
        assert found["label2id"]["LABEL_3"] == 3


def test_timm_knows_a_number():
    config = {"architecture": "resnet18", "num_classes": 2, "label_names": ["x", "y"], "pretrained_cfg": {"mean": 1}}
    found = joined_config([config, None], [2, 3])
    assert found == {"architecture": "resnet18", "num_classes": 5, "pretrained_cfg": {"mean": 1, "num_classes": 5}}
    assert config["num_classes"] == 2
