# make run | make test | make test-slow | make peers: each works in a fresh clone with nothing installed but
# Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TRAINERS := .venv-trainers
PEERS := .venv-peers

.PHONY: run test test-slow peers check clean

run: $(STAMP)
	$(BIN)/sgdb run sample_configs/digits_mlp.toml

# What starts no commands and no terminals, and so does not mind company.
SIDE_BY_SIDE := tests/engine/checks tests/engine/observe tests/test_corpus_bits.py tests/test_sample_configs.py \
    tests/tui/app/test_hostile_text.py

# Threads that wait for one another cost small tensors more than they give.
test test-slow: export OMP_NUM_THREADS = 1

test: check
	$(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile

test-slow: $(STAMP) $(TRAINERS)/installed
	$(BIN)/pytest -q -m slow -n 2 --dist loadfile $(SIDE_BY_SIDE)
	$(BIN)/pytest -q -m slow $(addprefix --ignore=,$(SIDE_BY_SIDE))

peers: $(PEERS)/installed
	$(PEERS)/bin/python benchmarks/peers.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[samples,sweep]' --group dev
	touch $(STAMP)

# Lightning, transformers and accelerate, for the tests with scripts that use them; wandb and TensorBoard, for the
# benchmark beside them.
.venv-%/installed: pyproject.toml constraints.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install -q --upgrade 'pip>=25.1'
	.venv-$*/bin/python -m pip install -q -c constraints.txt -e . --group $*
	touch $@

clean:
	rm -rf $(VENV) $(TRAINERS) $(PEERS) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
