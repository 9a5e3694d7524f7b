"""One file made from the spool again. Only worker processes import this."""

from livereel.recorder.events import FileFailed, FileFinished, TaskFailed
from livereel.recorder.task import TaskRecorder
from livereel.verify.objects import Progress
from livereel.verify.request import RemakeRequest


class CannotRemake(Exception):
    """The spool does not give the file any more; the text says why."""


def remake(request: RemakeRequest, progress: Progress) -> FileFinished:
    """Make the file in `request.spec.work_dir`. Raises CannotRemake."""
    task = TaskRecorder(request.spec, 0.0)
    try:
        task.finish_at(request.end, 0.0)
        # The end is known to be on disk; a spool that became shorter since is finished at once.
        now = 0.0
        while True:
            before = task.position
            more = task.step(now)
            progress(1)
            for event in task.events():
                if isinstance(event, FileFinished) and event.job_id == request.job_id:
                    return event
                if isinstance(event, FileFailed | TaskFailed):
                    raise CannotRemake(event.error)
            if task.done:
                raise CannotRemake("the spool holds no such file")
            if not more and task.position == before:
                now += 60.0
    finally:
        task.abort()
