"""Made-up records in the form of the data sets that do not ship, so that their studies can be run anywhere.

Half of the records are of either class. A hidden number per record, near +1 or -1 by class, is what the columns tell about.
Marks of missing values, codes, double rows and leaks stand where the real files have them.
"""
import csv
import gzip
import pathlib

import numpy


def hidden(rng, n):
    """Labels [n], half 0 and half 1 in random order, and the hidden number of each record."""
    labels = rng.permutation(numpy.arange(n) % 2)
    return labels, 2.0 * labels - 1.0 + 0.5 * rng.standard_normal(n)


def write(path, columns, rows, header=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open(path, "wt", newline="") if path.suffix == ".gz" else open(path, "w", newline="", encoding="utf-8")
    with opened as file:
        out = csv.DictWriter(file, columns, lineterminator="\n")
        if header:
            out.writeheader()
        out.writerows(rows)


def number(rng, z, centre, scale):
    return f"{centre + scale * (0.7 * z + 0.5 * rng.standard_normal()):.2f}"


def word(rng, z, low, high):
    return high if z + rng.standard_normal() > 0 else low


def heart(folder, rng):
    """Four files without a header; cholesterol 0 and "?" where a hospital did not measure, codes as "1" or "1.0"."""
    columns = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()
    for site, dot in (("cleveland", ".0"), ("hungarian", ""), ("switzerland", ""), ("va", "")):
        labels, z = hidden(rng, 100)
        rows = []
        for y, h in zip(labels, z):
            row = {"age": number(rng, h, 55, 9), "trestbps": number(rng, h, 130, 15), "chol": number(rng, h, 240, 40),
                   "thalach": number(rng, -h, 140, 20), "oldpeak": number(rng, h, 1, 1), "ca": word(rng, h, "0", "2") + dot,
                   "sex": word(rng, h, "0", "1") + dot, "cp": word(rng, h, "2", "4") + dot, "fbs": word(rng, 0, "0", "1") + dot,
                   "restecg": "0" + dot, "exang": word(rng, h, "0", "1") + dot, "slope": word(rng, h, "1", "2") + dot,
                   "thal": word(rng, h, "3", "7") + dot, "num": "0" if y == 0 else str(rng.integers(1, 5))}
            if site != "cleveland":
                row.update(ca="?", thal="?", slope="?")
            if site == "switzerland":
                row["chol"] = "0"
            rows.append(row)
        write(folder / "heart_uci" / f"processed.{site}.data", columns, rows, header=False)


def intensive_care(folder, rng):
    """Four tables with one identifier; each lacks stays of the others. One patient may have two stays."""
    labels, z = hidden(rng, 260)
    ids = rng.permutation(10_000)[: len(z)] + 100_000
    people = {stay: f"p{k // 2 if k < 20 else k}" for k, stay in enumerate(ids)}
    units = ["Med-Surg ICU", "MICU", "Cardiac ICU", "SICU", "CCU-CTICU", "Neuro ICU", "CSICU", "CTICU"]
    patient, aps, history, result = [], [], [], []
    vital = ("urine wbc temperature respiratoryrate sodium heartrate meanbp ph hematocrit creatinine albumin pao2 pco2 bun glucose "
             "bilirubin fio2").split()
    flags = "hepaticfailure lymphoma metastaticcancer leukemia immunosuppression cirrhosis diabetes midur readmit".split()
    for stay, y, h in zip(ids, labels, z):
        key = {"patientunitstayid": stay}
        patient.append({**key, "uniquepid": people[stay], "age": "> 89" if h > 1.8 else str(int(60 + 12 * h)),
                        "admissionheight": "" if rng.random() < 0.1 else number(rng, 0, 170, 9), "admissionweight": number(rng, 0, 80, 15),
                        "gender": word(rng, 0, "Female", "Male"), "ethnicity": word(rng, 0, "Caucasian", "Asian"),
                        "unittype": units[rng.integers(8)], "unitadmitsource": word(rng, h, "Operating Room", "Floor"),
                        "hospitaldischargestatus": "Expired" if y else "Alive"})
        lab = {**key, **{c: "-1" if rng.random() < 0.2 else number(rng, h, 50, 10) for c in vital}}
        lab.update(intubated=word(rng, h, "0", "1"), vent=word(rng, h, "0", "1"), dialysis="0", meds="0", eyes=word(rng, h, "4", "2"),
                   motor=word(rng, h, "6", "3"), verbal="-1")
        aps.append(lab)
        history.append({**key, **{c: word(rng, h - 2, "0", "1") for c in flags}, "electivesurgery": ("", "0", "1")[rng.integers(3)],
                        "diedinhospital": y})
        for version in ("IV", "IVa"):
            result.append({**key, "apachepatientresultsid": len(result), "physicianspeciality": "none", "apacheversion": version, "actualhospitalmortality": "EXPIRED" if y else "ALIVE"})
    base = folder / "eicu_demo"
    for name, rows in (("patient", patient), ("apacheapsvar", aps[10:]), ("apachepredvar", history[10:]),
                       ("apachepatientresult", result[40:])):
        order = rng.permutation(len(rows))
        write(base / f"{name}.csv.gz", list(rows[0]), [rows[i] for i in order])


def trial(folder, rng):
    columns = ("pidnum age wtkg hemo homo drugs karnof oprior z30 zprior preanti race gender str2 strat symptom treat offtrt cd40 "
               "cd420 cd496 r cd80 cd820 cens days arms").split()
    labels, z = hidden(rng, 300)
    rows = []
    for k, (y, h) in enumerate(zip(labels, z)):
        row = {c: "0" for c in columns}
        row.update(pidnum=k, age=number(rng, h, 35, 8), wtkg=number(rng, 0, 75, 12), karnof=word(rng, -h, "90", "100"),
                   preanti=number(rng, h, 400, 300), strat=str(rng.integers(1, 4)), arms=str(rng.integers(4)), cd496="NA",
                   cd40=number(rng, -h, 350, 100), cd420=number(rng, -h, 370, 120), cd80=number(rng, 0, 990, 300),
                   cd820=number(rng, h, 940, 300), cens=y, days=1000 - 500 * y)
        rows.append(row)
    write(folder / "actg175" / "ACTG175.csv.gz", columns, rows)


def readmission(folder, rng):
    """Patients with second stays and stays that ended in death: neither are records."""
    drugs = "metformin repaglinide nateglinide glimepiride glipizide glyburide pioglitazone rosiglitazone insulin".split()
    labels, z = hidden(rng, 600)
    rows = []
    for k, (y, h) in enumerate(zip(labels, z)):
        row = {"encounter_id": 5000 + k, "patient_nbr": k, "race": ("Caucasian", "?", "Asian")[rng.integers(3)],
               "gender": word(rng, 0, "Female", "Male"), "age": word(rng, h, "[40-50)", "[70-80)"), "admission_type_id": "1",
               "discharge_disposition_id": word(rng, h, "1", "3"), "admission_source_id": "7", "payer_code": "?",
               "medical_specialty": word(rng, h, "Cardiology", "Podiatry"), "diag_1": word(rng, h, "250.83", "428"), "diag_2": "V45",
               "diag_3": "?", "max_glu_serum": "None", "A1Cresult": ">8", "change": "Ch", "diabetesMed": "Yes"}
        row.update({c: str(max(0, int(5 + 3 * h + rng.standard_normal()))) for c in (
            "time_in_hospital", "num_lab_procedures", "num_procedures", "num_medications", "number_outpatient", "number_emergency",
            "number_inpatient", "number_diagnoses")})
        row.update({c: "No" for c in drugs}, readmitted="<30" if y else ("NO", ">30")[rng.integers(2)])
        rows.append(row)
        if k % 10 == 0:
            rows.append({**row, "encounter_id": 9000 + k})
        if k % 15 == 0:
            rows.append({**row, "patient_nbr": 20_000 + k, "discharge_disposition_id": "11"})
    write(folder / "diabetes130" / "diabetic_data.csv.gz", list(rows[0]), rows)


def xrays(folder, rng):
    """Pictures of 28 x 28, a smooth slope with fine texture in class 0 and almost none in class 1, as healthy and inflamed lungs."""
    slope = numpy.add.outer(numpy.linspace(-60, 60, 28), numpy.linspace(-40, 40, 28))
    arrays = {}
    for split, n in (("train", 160), ("val", 40), ("test", 80)):
        labels = rng.permutation(numpy.arange(n) % 2)
        texture = rng.standard_normal((n, 28, 28)) * (25 - 23 * labels)[:, None, None]
        arrays[f"{split}_images"] = numpy.clip(128 + slope + texture, 0, 255).astype(numpy.uint8)
        arrays[f"{split}_labels"] = labels[:, None].astype(numpy.uint8)
    path = folder / "pneumoniamnist" / "pneumoniamnist.npz"
    path.parent.mkdir(parents=True)
    numpy.savez_compressed(path, **arrays)


def heartbeats(folder, rng, records):
    """Beats of five classes, told by place and sign of a wave, and of a class that the study leaves out."""
    symbols = [78, 76, 82, 65, 86, 47]
    beats, codes, owners = [], [], []
    place = numpy.arange(128)
    for k, record in enumerate(records):
        for c in [k % 5, (k + 1) % 5] * 4 + [5]:
            wave = 600 * numpy.exp(-(((place - 24 - 20 * (c % 5)) / 6.0) ** 2)) * (-1 if c == 4 else 1)
            beats.append(wave + 60 * rng.standard_normal(128))
            codes.append(symbols[c])
            owners.append(record)
    path = folder / "ecg_mitbih" / "mitbih_beats.npz"
    path.parent.mkdir(parents=True)
    numpy.savez_compressed(path, beats=numpy.array(beats).astype(numpy.int16), symbols=numpy.array(codes, numpy.uint8),
                           records=numpy.array(owners, numpy.uint16))


def make(folder, records):
    """Writes all of them below `folder`; `records`: names of the heartbeat clients."""
    folder = pathlib.Path(folder)
    rng = numpy.random.default_rng(1)
    for maker in (heart, intensive_care, trial, readmission, xrays):
        maker(folder, rng)
    heartbeats(folder, rng, records)
