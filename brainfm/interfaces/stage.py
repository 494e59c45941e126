"""Base of the interfaces that call a function of a stage."""

from dataclasses import fields

from nipype.interfaces.base import File, OutputMultiObject, SimpleInterface, TraitedSpec


class StageInterface(SimpleInterface):
    """Interface of one function; ``_call`` takes inputs and folder and returns outputs by name."""

    def _run_interface(self, runtime):
        self._results.update(self._call(self.inputs, runtime.cwd))
        return runtime


class FiguresSpec(TraitedSpec):
    """Outputs of an interface that draws."""

    figures = OutputMultiObject(File(exists=True))


def collect(kind, inputs):
    """Collect the inputs that are fields of a dataclass.

    Parameters
    ----------
    kind : type
        Dataclass, such as :class:`brainfm.stages.preprocess.t1w.PreparedT1w`.
    inputs : nipype.interfaces.base.TraitedSpec

    Returns
    -------
    collected : object
        One of the dataclass.
    """
    return kind(**{one.name: one.type(getattr(inputs, one.name)) for one in fields(kind)})


def pick(inputs, *names):
    """Return some inputs by name.

    Parameters
    ----------
    inputs : nipype.interfaces.base.TraitedSpec
    *names : str

    Returns
    -------
    picked : dict of str to object
    """
    return {name: getattr(inputs, name) for name in names}
