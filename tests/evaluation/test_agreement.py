import numpy as np

from napari_mobilesam.evaluation.agreement import mask_agreement


def test_a_model_agrees_with_itself(engine, discs):
    agreement = mask_agreement(engine, engine, [discs], 128, 1)
    assert agreement.box == agreement.worst_box == agreement.point == agreement.worst_point == 1
    assert agreement.objects == 2


def test_at_another_size_it_agrees_well_but_not_wholly(engine, discs):
    agreement = mask_agreement(engine, engine, [discs], 192, 1, other_input_size=128)
    assert 0.6 < agreement.box < 1
    assert 0 <= agreement.worst_box <= agreement.box
    assert 0 <= agreement.worst_point <= agreement.point < 1


def test_no_objects_give_no_number(engine):
    agreement = mask_agreement(engine, engine, [], 128)
    assert agreement.objects == 0
    assert np.isnan([agreement.box, agreement.worst_point]).all()
