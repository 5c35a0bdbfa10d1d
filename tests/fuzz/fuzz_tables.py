"""Text tables in every shape (a row a frame, a row a joint, DeepLabCut; delimiters, encodings) through the reader of all commands."""

import random
import tempfile
from pathlib import Path

from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.errors import StgcnError
from tests.factories import foreign
from tests.fuzz.mutate import some_bytes, some_words
from tests.fuzz.target import Target, refused

_NAMES = ("x1,y1,z1,v1,x2,y2,z2,v2", "frame,nose_x,nose_y,left_eye_x,left_eye_y", "class,Nose(x),Nose(y),x_min,y_min", "1_x,1_y,2_x,2_y",
          "file_name,NOSE_x,NOSE_y,NOSE_score", "track_id,time,x[0],y[0],x[1],y[1]", "person1_a_x,person1_a_y,person2_a_x,person2_a_y",
          "frame,keypoint,x,y,conf,label", "x,y,x.1,y.1", "id,frame,P.Nose_x,P.Nose_y,P.Nose_conf,P.Eye_x,P.Eye_y", "scorer,n,n,n\nbodyparts,Nose,Nose,Nose\ncoords,x,y,likelihood")  # fmt: skip


def _seeds() -> list[bytes]:
    seeds = []
    for header in _NAMES:
        width = header.split("\n")[-1].count(",") + 1
        rows = [",".join(str(round(0.1 + t + v / 7, 3)) for v in range(width)) for t in range(4)]
        text = "\n".join([header, *rows]) + "\n"
        text = text.replace("0.1,", "walk_1.jpg,") if header.startswith("file_name") else text
        seeds += [text.encode(), text.replace(".", ",").replace(",", ";").encode("utf-16")]
    with tempfile.TemporaryDirectory() as name:
        seeds.append(foreign.table(Path(name) / "a.csv", *foreign.clip(frames=2, joints=3, persons=1)).read_bytes())
    seeds += [
        b'frame,keypoints,label\n0,"[1, 2, 0.5, 3, 4, 0.5]",a\n1,"[[1, 2, 0.5], [3, 4, 0.5]]",a\n',
        b"frame;kps\n0;(1, 2)\n1;[3. 4.]\n",
        b"u0,v0,u1,v1\n1,2,3,4\n",
    ]
    seeds += [
        b'name,label,keypoints\na,1,"[[[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [5, 6]]]"\n',
        b'nose,left_eye,right_eye,left_ear,right_ear\n"(1, 2)","(3, 4)","(5, 6)","(7, 8)","(9, 1)"\n',
    ]
    return [*seeds, "名,x1,y1\n踢,1,2\n".encode("gbk"), b"1,2,3\n4,5,6\n", b"\n".join([b"7,8" * 17] * 3)]


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    choice = rng.random()
    if choice < 0.2:
        return some_bytes(rng, data, seeds)
    lines = data.split(b"\n")
    if choice < 0.35:  # the header of another
        lines[0] = rng.choice(seeds).split(b"\n")[0]
    elif choice < 0.5:
        rng.shuffle(lines)
    elif choice < 0.6:
        lines.insert(rng.randrange(len(lines)), rng.choice([b"", b",,,", b"sep=;", b"#", b'"', b"nan," * 9]))
    mutated = b"\n".join(lines)
    return some_words(rng, mutated.replace(b",", b" ,"), seeds, head=0) if rng.random() < 0.7 else mutated


def _attempt(data: bytes, folder: Path) -> str:
    path = folder / "clip.csv"
    path.write_bytes(data)
    try:
        clips = list(read_inputs([str(path)]))
    except StgcnError as error:
        return refused(error, path)
    finally:
        path.unlink()
    for clip in clips:
        keypoint = clip.record["keypoint"]
        assert keypoint.ndim == 4 and keypoint.shape[1] >= 1 and isinstance(clip.record["frame_dir"], str)
    return f"{min(len(clips), 3)} clips of {len(clips[0].record['keypoint'])} persons" if clips else "no clips"


TARGET = Target(
    "tables",
    _seeds,
    _mutate,
    _attempt,
    ("table.py", "table_text.py", "table_clips.py", "wide_columns.py", "list_cells.py"),
    memory_mb=1500,
)
