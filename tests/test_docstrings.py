"""Docstrings: parameters, returned values, shapes, errors and sources are documented."""

import ast
import re

from code_figures import ROOT, documented, modules, share

SHARE = 0.9


ALL = list(documented())


def test_nine_of_ten_public_objects_document_parameters_and_returned_values():
    chosen = [one for one in ALL if one.takes_arguments or one.returns]
    found, lacking = share(chosen, lambda one: one.is_complete)
    assert found >= SHARE, f"{found:.3f} of {len(chosen)}; lacking:\n{lacking}"


def test_nine_of_ten_public_functions_that_raise_document_it():
    chosen = [one for one in ALL if one.raises]
    found, lacking = share(chosen, lambda one: one.has("Raises") or one.refers)
    assert found >= SHARE, f"{found:.3f} of {len(chosen)}; lacking:\n{lacking}"


def test_nine_of_ten_docstrings_with_arrays_give_shapes():
    chosen = [one for one in ALL if re.search(r" : .*\b(ndarray|Tensor)\b", one.text)]
    found, lacking = share(chosen, lambda one: not one.arrays_without_shape)
    assert found >= SHARE, f"{found:.3f} of {len(chosen)}; lacking:\n{lacking}"


def test_no_module_docstring_opens_with_a_question_word():
    opening = re.compile(r"(What|Which|Where|Who|How|Ways|From|Whether|When)\b")
    asking = [
        str(path.relative_to(ROOT))
        for path, tree in modules()
        if opening.match(ast.get_docstring(tree) or "")
    ]
    assert not asking
