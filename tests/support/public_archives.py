"""Miniatures of public archives, in their exact layout, with labels that can be counted by hand."""

import json
import pickle

import cv2
import numpy as np

from tests.support.polyp_archives import (  # noqa: F401 - found by their names
    make_cvc_clinicdb,
    make_endotect,
    make_kvasir_seg,
    make_neopolyp,
    make_polypgen,
)
from tests.support.small_videos import write_video

IMAGE = np.full((24, 32, 3), 90, np.uint8)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_images(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:06d}.png"), IMAGE)


def instance(tool=-1, verb=-1, target=-1, phase=-1):
    """15 numbers of CholecT50: triplet, tool and its box, verb, target and its box, phase."""
    box = [-1, -1, -1, -1]
    return [-1, tool, 1, *box, verb, target, -1, *box, phase]


def make_cholect50(root):
    annotations = {
        "0": [instance(phase=0)],
        "1": [instance(0, 1, 0, 1), instance(2, 2, 2, 1)],
        "2": [],
    }
    for video, count in (("VID01", 3), ("VID110", 1)):
        write_images(root / "CholecT50" / "videos" / video, count)
        content = {
            "video": int(video[3:]),
            "fps": 1,
            "num_frames": count,
            "categories": {"phase": {"0": "preparation", "1": "carlot-triangle-dissection"}},
            "annotations": {key: annotations[key] for key in list(annotations)[:count]},
        }
        write(root / "CholecT50" / "labels" / f"{video}.json", json.dumps(content))
    return root


def make_cholect45(root):
    folder = root / "CholecT45"
    write_images(folder / "data" / "VID79", 2)
    rows = {
        "instrument": ["0,1,0,0,0,0,0", "1,0,0,0,0,0,1"],
        "verb": ["0,0,1" + ",0" * 8, "1" + ",0" * 7 + ",1,0,0"],
        "target": ["0" + ",0" * 8 + ",1" + ",0" * 6, "1" + ",0" * 15],
        "triplet": ["0" + ",0" * 100, "1" + ",0" * 100],
    }
    for name, lines in rows.items():
        write(folder / name / "VID79.txt", "\n".join(lines) + "\n")
    return root


def make_m2cai16(root):
    for folder, video in (
        ("train_dataset", "workflow_video_01"),
        ("test_dataset", "test_workflow_video_01"),
    ):
        write_video(root / folder / f"{video}.mp4", 25, 75)
        phases = ["TrocarPlacement"] * 25 + ["Preparation"] * 25 + ["GallbladderRetraction"] * 25
        rows = [f"{frame}\t{phase}" for frame, phase in enumerate(phases)]
        write(root / folder / f"{video}.txt", "\n".join(["Frame\tPhase", *rows]) + "\n")
        write(root / folder / f"{video}_timestamp.txt", "Time\tPhase\n00:00:00.000\tPreparation\n")
    return root


def make_heichole(root):
    for number, fps in ((1, 25), (16, 50)):
        video, frames = f"Hei-Chole{number}", 3 * fps
        write_video(root / "Videos" / "Full" / f"{video}.mp4", fps, frames)
        write_video(root / "Videos" / "Full" / "HD" / f"{video}.mp4", fps, frames)
        write_video(root / "Videos" / "Skill" / f"{video}_calot.mp4", fps, 10)
        categories = {0: 0, 1: 20, 2: 6}  # second: the instrument there
        phases, tools, actions = [], [], []
        for frame in range(frames):
            second = frame // fps
            phases.append(f"{frame},{second + 4}")
            cells = [int(place == categories[second]) for place in range(21)]
            tools.append(",".join(map(str, [frame, *cells])))
            actions.append(f"{frame},0,{int(second == 1)},0,0")
        kinds = {"Phase": phases, "Instrument": tools, "Action": actions}
        for kind, rows in kinds.items():
            name = f"{video}_Annotation_{kind}.csv"
            write(root / "Annotations" / kind / name, "\n".join(rows) + "\n")
        write(
            root / "Annotations" / "Instrument" / f"{video}_Annotation_Instrument_Detailed.csv",
            "0" + ",0" * 31 + "\n",
        )
    return root


def make_autolaparo(root):
    for number, seconds in (("01", 3), ("15", 2)):
        write_video(root / "videos" / f"{number}.mp4", 25, 25 * seconds)
        rows = [f"{second}\t{second + 4}" for second in range(1, seconds + 1)]
        write(root / "labels" / f"label_{number}.txt", "\n".join(["Frame\tPhase", *rows]) + "\n")
    return root


def make_multibypass140(root):
    phases = [
        {"start": 0, "end": 1500, "label_name": "preparation", "label_id": 0},
        {"start": 900, "end": 1200, "label_name": "out_of_body", "label_id": 12},
        {"start": 1500, "end": 3400, "label_name": "jejunojejunal_anastomosis", "label_id": 7},
    ]
    steps = [
        {"start": 0, "end": 2000, "label_name": "s2_trocar_placement", "label_id": 2},
        {"start": 2000, "end": 3400, "label_name": "s45_specimen_retrieval", "label_id": 45},
    ]
    for center, folder, initial in (
        ("bern", "BernBypass70", "BBP"),
        ("strasbourg", "StrasBypass70", "SBP"),
    ):
        for number in range(1, 4):
            video = f"{initial}{number:02d}"
            write_video(root / "datasets" / folder / "videos" / f"{video}.mp4", 25, 100)
            label = root / "labels" / center / "labels_by70" / f"{video}.mp4.json"
            write(label, json.dumps({"phases": phases, "steps": steps}))
        splits = root / "labels" / center / "labels_by70_splits" / "labels"
        for part, name, number in (
            ("train", "1fps_100_0", 1),
            ("val", "1fps_0", 2),
            ("test", "1fps_0", 3),
        ):
            video = f"{initial}{number:02d}"
            row = {"Frame_id": f"{video}_00000001", "Original_frame_id": 0, "Phase_gt": 0}
            (splits / part).mkdir(parents=True, exist_ok=True)
            (splits / part / f"{name}.pickle").write_bytes(pickle.dumps({video: [row]}))
    return root


def make_cataract101(root):
    phases = ["Incision", "Viscous agent injection", "Rhexis", "Hydrodissection"]
    rows = [f"{number};{name}" for number, name in enumerate(phases, 1)]
    write(root / "phases.csv", "\n".join(["Phase;Meaning", *rows]) + "\n")
    write(
        root / "videos.csv",
        "VideoID;Frames;FPS;Surgeon;Experience\n269;100;25;4;1\n270;75;25;4;1\n",
    )
    write(
        root / "annotations.csv",
        "VideoID;FrameNo;Phase\n269;25;1\n269;68;2\n269;75;2\n270;0;4\n270;51;3\n",
    )
    write_video(root / "videos" / "case_269.mp4", 25, 100)
    write_video(root / "videos" / "case_270.mp4", 25, 75)
    return root
