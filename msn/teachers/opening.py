"""The teacher that a configuration names."""

from ml_collections import ConfigDict

from data.common.errors import InputError
from data.frames.frames import Frames
from data.storage.paths import AnyPath
from msn.encoders import facts_in
from msn.formats.hub import encoder_path
from msn.teachers.frame_teacher import FrameTeacher
from msn.teachers.teacher import Teacher
from msn.teachers.view_teacher import ViewTeacher


def open_teacher(
    config: ConfigDict, source: Frames, replicas: int, workdir: AnyPath
) -> Teacher | None:
    """The teacher of a configuration for the frames of a run, None without one.

    Raises:
      InputError: as of `FrameTeacher`, `ViewTeacher` and `Teacher.check_same`; or the batch is
        shared among replicas.
    """
    if not config.teacher:
        return None
    if replicas > 1:
        raise InputError(
            f"teacher={config.teacher} with {replicas} replicas; expected one, strategy=one_device"
        )
    path, given = encoder_path(config.teacher), facts_in(config, "teacher")
    if config.teacher_sees == "view":
        teacher = ViewTeacher(path, given)
    else:
        teacher = FrameTeacher(path, given, source)
    teacher.check_same(workdir)
    return teacher
