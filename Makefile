# Each job starts from a fresh clone with Python >= 3.10, venv and make; nothing is done twice.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# In a container one is often root, which Jupyter refuses unless told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab course test student bank instructions bench clean

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $(AS_ROOT)

course: $(READY)  ## run every notebook headless and write build/course/index.html
	$(BIN)/python -m teaching course --preset cpu

# One thread per worker: two OpenMP threads beside another busy process are ten times slower than one.
test: $(READY)  ## lint, the package's tests, the course's checks, and the notebooks with their stored digests
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile tests problem_unittests.py
	OMP_NUM_THREADS=1 FACEGEN_PRESET=ci $(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval notebooks

student: $(READY)  ## what learners get, in build/student: the course with a stub in the place of every solution
	rm -rf build/student
	$(BIN)/python -m teaching student build/student

bank: $(READY)  ## every check against wrong and right solutions, with 20 seeds: build/bank/bank.html
	$(BIN)/python -m teaching bank --seeds 20

instructions: $(READY)  ## the tables of Instructions.md and the marks in the notebooks' headings, from exercises/
	$(BIN)/python -m teaching instructions

bench: $(READY)  ## our speed beside the textbook's, in the same run
	$(BIN)/python bench/dcgan_step.py
	$(BIN)/python bench/cyclegan_step.py
	$(BIN)/python bench/loader.py
	$(BIN)/python bench/drawn.py
	$(BIN)/python bench/frechet.py
	$(BIN)/python bench/stylegan.py --rounds 3 --out build/bench
	$(BIN)/python bench/stylegan_step.py --cbase 2048 --cmax 128 --latent 128 --rounds 1
	$(BIN)/python bench/projector.py --steps 3

$(READY): requirements.txt pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	touch $(READY)

clean:  ## remove what the other jobs made, but for .venv
	rm -rf build .pytest_cache .ruff_cache
