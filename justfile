# What CI runs, and what to run before a commit. `just --list` shows it all.

more_photos := if path_exists("../shared/photos") == "true" { "../shared/photos" } else { "" }

# Everything CI checks.
ci: check test parity

# Style, lints, docs, dependencies, spelling, snapshots. Changes nothing.
check: fmt clippy docs dependencies spelling snapshots

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --all-targets --all-features --locked -- -D warnings
    cargo clippy --package restore-batch-fuzz --locked -- -D warnings

# Documentation, private items included, without a broken link.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --document-private-items --locked

# Licences, banned crates, sources, unused dependencies. Known vulnerabilities: `just advisories`.
dependencies:
    cargo deny --locked --all-features check bans licenses sources
    cargo machete

advisories:
    cargo deny check advisories

spelling:
    typos

# No snapshot waits to be accepted (`just test` finds those that differ).
snapshots:
    ! find src tests -name '*.snap.new' -o -name '.*.pending-snap' | grep .

# All tests: the README's second command.
test:
    INSTA_UPDATE=no cargo test --all-features

# The models that users add, into target/models, unless they are there.
models:
    scripts/fetch-models --into target/models

# Whether those models compute here what they compute in onnxruntime.
parity: models
    RESTORE_BATCH_MODELS="$PWD/target/models" cargo test --all-features --lib -- --ignored engine::parity

# `just test`, faster to read while working; needs cargo-nextest.
watch-test *WORDS:
    cargo nextest run --all-features {{ WORDS }}

# Throughput against a service that does no work; memory among hostile neighbours, and at
# manifests of growing length; rewrites docs/performance.md.
bench:
    cargo bench --all-features --bench throughput -- --write docs/performance.md
    cargo bench --all-features --bench scale -- --write docs/performance.md
    cargo bench --all-features --bench hostile

# Polls and submit rate in virtual time, against a client that knows when each request is done;
# rewrites docs/pace.md. Seconds. `-- --real` runs the binary in real time, two minutes.
bench-pace:
    cargo bench --all-features --bench pace -- --write docs/pace.md

# Time and memory of the local engine beside onnxruntime; rewrites docs/speed.md. Minutes.
bench-engine: models
    cargo bench --all-features --bench engine -- --write docs/speed.md

# How near the local engine comes to clean photographs, against Lanczos and the version before;
# rewrites docs/quality.md. PHOTOS is a folder of more photographs, by default the one beside
# the repository, if there is one. Some minutes.
bench-quality PHOTOS=more_photos:
    QUALITY_PHOTOS="{{ PHOTOS }}" cargo bench --all-features --bench quality -- --write docs/quality.md

# Rewrites the README's tables and shown outputs.
readme:
    UPDATE_README=1 cargo test --all-features --test it readme

# Deterministic simulation with N seeds a scenario, and a crash at every boundary.
sim N="2000":
    SIM_SEEDS={{ N }} cargo test --all-features --release --test sim

# The real binary, killed N times against the gateway in a process of its own.
crash N="100":
    CRASH_ROUNDS={{ N }} cargo test --all-features --release --test crash

# Runs one fuzz target for so many seconds; needs cargo-fuzz. See fuzz/README.md.
fuzz TARGET SECONDS="600":
    mkdir -p fuzz/corpus/{{ TARGET }} fuzz/seeds/{{ TARGET }}
    CARGO_PROFILE_RELEASE_LTO=off cargo fuzz run --sanitizer none {{ TARGET }} \
        fuzz/corpus/{{ TARGET }} fuzz/seeds/{{ TARGET }} -- \
        -max_total_time={{ SECONDS }} -timeout=10 -rss_limit_mb=2048 -max_len=16384
