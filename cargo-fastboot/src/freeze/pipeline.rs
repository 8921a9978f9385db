//! Freeze: makes an image of a binary's roots, in three runs.
//!
//! ```text
//! plan    run 1  which allocations live on?            → mark → plan
//! place   run 2  the same, each born where it belongs  → the image data
//! prove   run 3  run 2 at other addresses              → compared word by word
//! ```
//! If placing does not work out, one verbatim run takes the place of the first two.

use super::disguised::Learned;
use super::finish::{FreezeOutput, Judged};
use super::proving::MOST_PROOFS;
use super::running::PROVE;
use super::stages::{Examined, First, Freezing, Frozen, Placed, Planned, image_data};
use crate::carry::carried::Statics;
use crate::contents::objects::{Objects, Origin};
use crate::contents::report;
use crate::elf::binary::Binary;
use crate::elf::strip;
use crate::image::Paging;
use crate::link::wrapper;
use crate::options::FreezeOptions;
use crate::plan::mark::{self, Heap, Seed};
use crate::plan::placement::Plan;
use crate::prove::compare as prove;
use crate::prove::regions::Region;
use crate::runs::capture::{Capture, Counts, Strayed};
use crate::runs::inputs::Inputs;
use crate::runs::memory::{ImageData, word_at};
use crate::runs::run::Purpose;
use crate::runs::spare::spare_memory;
use crate::runs::world::Difference;
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result, anyhow, bail};
use fastboot_format::image::PAGE;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// What run 1 left is small if all that is held to examine it, later, takes no more than one in so many bytes of the memory that
/// there is. Then it is kept while runs 2 and 3 are made.
const SMALL: u64 = 8;
/// Runs 2 and 3 are made at once if what run 1 needed is no more than one in so many bytes of it: each of them may need
/// twice as much.
const SMALL_RUN: u64 = 4;
/// A block, its placement, where it is, its owner and its parent.
const BYTES_FOR_BLOCK: u64 = 128;

/// Said where there is no twin.
pub(crate) const NO_TWIN: &str = "numbers may be taken for addresses in the executable, because it has no twin";
/// How the name of the folder for the files of the runs begins.
pub(crate) const FOLDER: &str = ".fastboot-freeze-";

/// Freezes a cold binary.
pub(crate) fn freeze(path: &Path, options: &FreezeOptions, shell: &Shell) -> Result<FreezeOutput> {
    let path = std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
    let binary = Binary::read(&path)?;
    // Found out once: while a run is made there is less.
    let options = &FreezeOptions {
        memory_limit: Some(options.memory_limit.unwrap_or_else(spare_memory)),
        // The twin has another identity.
        seed: Some(options.seed.unwrap_or_else(|| binary.seed())),
        ..options.clone()
    };
    let folder = working_folder(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    shell.status("Freezing", name.strip_suffix(".cold").unwrap_or(&name));
    if !strip::has_symbols(&binary.bytes)? {
        shell.warn(format_args!(
            "{} has no symbols, so no static can be carried: hash maps and caches that keep their state in statics may \
             not work; leave out `strip` in RUSTFLAGS and `-s`, or freeze it before it is stripped",
            path.display()
        ));
    }
    let twin = options.twin.as_ref().and_then(|(path, digest)| read_twin(path, digest, shell));
    let freezing = Freezing {
        binary: &binary,
        twin: twin.as_ref().map(|twin| binary.twin(twin)).transpose()?,
        options,
        folder: folder.path(),
        shell,
        elsewhere: OnceLock::new(),
        along: Mutex::default(),
        asked: Mutex::default(),
        presets: OnceLock::new(),
        always: &[],
    };
    let examined = freezing.place_and_prove()?;
    let judged = freezing.judge_all(examined)?;
    freezing.finish(judged)
}

/// The image data that a freeze of this binary would make, if it is as the first two runs have it, with the executable's
/// address, all runs in a world that differs in this. Nothing is proved.
pub(crate) fn image_data_of(
    path: &Path,
    options: &FreezeOptions,
    world: &[Difference],
    shell: &Shell,
) -> Result<(ImageData, u64)> {
    let binary = Binary::read(path)?;
    let folder = working_folder(path)?;
    let freezing = Freezing {
        binary: &binary,
        twin: None,
        options,
        folder: folder.path(),
        shell,
        elsewhere: OnceLock::new(),
        along: Mutex::default(),
        asked: Mutex::default(),
        presets: OnceLock::new(),
        always: world,
    };
    // As if it was not the first plan: with that, run 3 may be made at once.
    let Frozen { capture, data, .. } = freezing.image_data(&mut Learned { plans: 1, ..Learned::default() })?.frozen;
    Ok((data, capture.process.exe_base))
}

/// The twin, if it is the one that was linked with the binary. Without it, what holds where there is none does.
fn read_twin(path: &Path, digest: &str, shell: &Shell) -> Option<Binary> {
    let twin = Binary::read(path).and_then(|twin| match wrapper::hex(&twin.bytes) == digest {
        true => Ok(twin),
        false => bail!("{} is not the file that was linked together with the program", path.display()),
    });
    twin.inspect_err(|why| shell.verbose(format_args!("{NO_TWIN}: {why:#}"))).ok()
}

/// A folder for the files of the runs: beside the binary, because a capture is as big as the image and `/tmp` is often
/// memory; where that cannot be written to, there after all.
pub(crate) fn working_folder(binary: &Path) -> Result<tempfile::TempDir> {
    output::temporary_folder(FOLDER, binary.parent())
}

/// The objects that a plan run left, whose contents are `bytes`.
fn planned_heap<'a>(planned: &'a Capture, bytes: &'a [u8]) -> Result<Heap<'a>> {
    Heap::new(&planned.blocks, bytes).context("the capture of the plan run is damaged")
}

/// Whether there is memory to spare for so many bytes, and for what is known of each of a run's blocks.
fn is_small(run: &Capture, bytes: u64) -> bool {
    bytes + run.blocks.len() as u64 * BYTES_FOR_BLOCK <= spare_memory() / SMALL
}

impl Freezing<'_> {
    /// Runs 1 to 3, once more as long as the third one shows what the first one has to know.
    fn place_and_prove(&self) -> Result<Examined> {
        let mut learned = Learned::default();
        loop {
            let placed = self.image_data(&mut learned)?;
            let mut examined = self.examine(placed).with_context(|| self.cannot_freeze())?;
            if !self.learn(&examined.frozen, &mut examined.proof, &mut learned) {
                return Ok(examined);
            }
        }
    }

    /// Says what is wrong with image data that was examined, and refuses it if it cannot be right.
    fn judge_all(&self, examined: Examined) -> Result<Judged> {
        let Examined { frozen, mut statics, proof, shown, references, pages, contents } = examined;
        let cannot_freeze = || self.cannot_freeze();
        let places = statics.places();
        let objects = frozen.objects(&places);
        self.judge_c_values(&frozen, &proof, objects.as_ref()).with_context(cannot_freeze)?;
        let mut causes =
            self.find_causes(&frozen, &statics, &proof, shown, objects.as_ref()).with_context(cannot_freeze)?;
        if causes.need_no_caches(&statics) {
            statics.drop_cpu_caches();
        }
        let way = |offset| frozen.way(objects.as_ref(), offset);
        statics.check(references, &frozen.capture, way)?;
        self.judge_outside(&statics).with_context(cannot_freeze)?;
        self.judge_changes(&statics, &proof, &frozen.capture).with_context(cannot_freeze)?;
        self.judge_world(&causes).with_context(cannot_freeze)?;
        self.tell_features(&causes);
        self.judge(&frozen, &proof, &causes, objects.as_ref()).with_context(cannot_freeze)?;
        self.judge_inputs(&frozen.inputs)?;
        self.tell_namesakes(&statics);
        self.tell_statics(&statics, &frozen.capture);
        Ok(Judged { frozen, statics, proof, causes, pages, contents })
    }

    /// What errors begin with.
    fn cannot_freeze(&self) -> String {
        format!("cannot freeze {}", self.binary.path.display())
    }

    /// Image data, by a plan if that works out, else verbatim.
    fn image_data(&self, learned: &mut Learned) -> Result<Placed> {
        while !self.options.verbatim && learned.may_plan() {
            let known = learned.also.len();
            if let Some(placed) = self.plan_and_place(learned)? {
                return Ok(placed);
            }
            // Once more in any case: what comes of chance may come out better.
            if learned.plans > 1 && learned.also.len() == known {
                break;
            }
        }
        if !self.options.verbatim && !self.options.preferred.is_empty() {
            bail!("the roots' expressions did not allocate the same once more");
        }
        if !self.options.verbatim {
            let first = learned.unplanned.as_ref().map_or_else(String::new, |what| format!(" (first {what})"));
            let (why, remedy) = match learned.is_chain {
                true => {
                    ("some objects are only found one after the other, by addresses in another form".to_owned(), "")
                }
                false => (
                    format!("the roots' expressions do not allocate the same in every run{first}"),
                    "; look for randomness, clocks or threads",
                ),
            };
            self.shell.warn(format_args!(
                "{why}, so the image is made verbatim, with everything they ever allocated in it{remedy}"
            ));
        }
        let mut capture = self.first(Purpose::Verbatim, "verbatim")?;
        let inputs = Inputs::of(&capture.inputs, self.options, &self.binary.path);
        let mut statics = Statics::find(self.binary, self.twin, &capture, &self.choices())?;
        statics.lay_out(capture.memory_len());
        let data = image_data(&mut capture, &statics)?;
        self.judge_threads(&capture, &statics, |address| word_at(&data, address.checked_sub(capture.data_address())?))?;
        let frozen = Frozen { capture, inputs, data, planned: None, kinship: None };
        Ok(Placed { frozen, statics, second: None })
    }

    /// Runs 1 and 2, with the objects in the image that were learned of, whatever leads to them. `None` when something that may
    /// be reachable did not come to lie in the image: that is learned then, for the next attempt.
    fn plan_and_place(&self, learned: &mut Learned) -> Result<Option<Placed>> {
        learned.plans += 1;
        let attempt = learned.plans;
        let (purpose, name) = (Purpose::Plan { hold_all: !learned.forms.is_empty() }, format!("plan-{attempt}"));
        let mut run = self.first(purpose, &name)?;
        let presets = if self.presets.get().is_none() { self.hash_seeds(&run)? } else { Vec::new() };
        let has_seeds = !presets.is_empty();
        self.presets.get_or_init(|| presets);
        if has_seeds {
            self.shell.verbose("hash tables get a seed that follows from what the roots use: run 1 is made once more");
            run = self.first(purpose, &name)?;
        }
        let (planned, inputs) = std::thread::scope(|scope| {
            // Inputs are read to the end for it, which can take as long as planning.
            let (seen, options, path) = (run.inputs.clone(), self.options, &self.binary.path);
            let inputs = scope.spawn(move || Inputs::of(&seen, options, path));
            let planned = self.plan(run, learned)?;
            // Before the next run: what is changed while it reads must count as changed.
            let inputs = inputs.join().map_err(|_| anyhow!("the inputs could not be looked at"))?;
            anyhow::Ok((planned, inputs))
        })?;
        let (mut capture, second) = self.place(&planned, attempt)?;
        let Counts { placed, strayed, overflowed, .. } = capture.counts;
        let plan = &planned.plan;
        self.shell.verbose(format_args!(
            "{placed} of {} objects placed as planned, {} bytes alive in {} bytes of placements, {} of them in the deferred \
             region; {strayed} threads left the plan, {overflowed} allocations overflowed",
            plan.len(),
            plan.live,
            plan.end - PAGE as u64,
            plan.deferred
        ));
        let mut statics = Statics::find(self.binary, self.twin, &capture, &self.choices())?;
        statics.lay_out(capture.memory_len());
        let data = image_data(&mut capture, &statics)?;
        let image = capture.process.home..capture.data_address() + data.len() as u64;
        let (mut references, threads) = (0, capture.thread_keys());
        let mut first = None;
        mark::for_each_reference(&data, &capture.blocks, &image, |at, block| {
            references += 1;
            first.get_or_insert(at as u64);
            learned.also.extend(block.allocation(&threads));
        });
        if let Some(first) = first {
            let of_object = planned.origin(first).map(|name| format!("in `{name}`"));
            learned.unplanned = capture.strayed.first().map(Strayed::to_string).or(of_object);
            self.shell
                .verbose(format_args!("{references} words of the image data refer to what was not planned to live on"));
            return Ok(None);
        }
        let frozen = Frozen { capture, inputs, data, planned: Some(planned), kinship: None };
        Ok(Some(Placed { frozen, statics, second }))
    }

    /// What the first run left, and where it shall be.
    fn plan(&self, mut run: Capture, learned: &Learned) -> Result<Planned> {
        let threads = run.thread_keys();
        let bytes = run.take_blocks()?;
        let heap = planned_heap(&run, &bytes)?.with_forms(learned.forms.iter().copied());
        let (statics, origins, mut marked) = loop {
            let statics = Statics::find(self.binary, self.twin, &run, &self.choices())?;
            let roots = run.roots.iter().map(|root| (Origin::Root(root.name.clone()), Seed::Address(root.value)));
            let carried = statics.carried_as_left(&run);
            let carried = carried.map(|(name, bytes)| (Origin::Static(name.to_owned()), Seed::Bytes(bytes)));
            let others = run.blocks.iter().filter(|block| block.is_one_of(&learned.also, &threads));
            let others = others.map(|block| (Origin::Remains, Seed::Address(block.address)));
            let (origins, seeds): (Vec<_>, Vec<_>) = roots.chain(carried).chain(others).unzip();
            let marked = heap.mark(&seeds);
            // Ends: each time one more static is carried.
            if !self.share((&statics, &run), &heap, &marked, &origins)? {
                break (statics, origins, marked);
            }
        };
        if self.binary.pie {
            // Together, so that relocating them writes to few pages. Where a number only looks like a static pointer, the
            // object lies a little further from its neighbours.
            let executable = run.process.exe_base..run.process.exe_end;
            marked.bring_forward(|block| heap.may_point_into(block, &executable));
        }
        if !self.options.preferred.is_empty() {
            marked.prefer(|block| run.blocks[block as usize].is_one_of(&self.options.preferred, &threads));
        }
        self.judge_threads(&run, &statics, |address| {
            let block = heap.block_at(address).filter(|block| marked.seeds[*block as usize].is_none())?;
            let start = address - run.blocks[block as usize].address;
            let word = run.blocks[block as usize].contents(&bytes).get(start as usize..)?.first_chunk()?;
            Some(u64::from_le_bytes(*word))
        })?;
        let plan = Plan::new(&run.blocks, &marked, threads);
        let path = self.folder.join(format!("plan-{}.plan", learned.plans));
        plan.save(&run, &path).with_context(|| format!("cannot write {}", path.display()))?;
        let is_small = is_small(&run, bytes.len() as u64 + plan.end);
        run.put_back_blocks(bytes);
        // All that is still of interest is in the plan.
        run.blocks = Vec::new();
        Ok(Planned { plan, path, first: Some(First { capture: run, origins, is_small }) })
    }

    /// Run 2, and run 3 if it was made at the same time.
    fn place(&self, planned: &Planned, attempt: usize) -> Result<(Capture, Option<Capture>)> {
        let purpose = Purpose::Place(&planned.path);
        let first = planned.first.as_ref().filter(|first| attempt == 1 && self.may_be_at_once(first));
        let at_once = first.is_some();
        if let Some(first) = first {
            let shell = self.shell.quiet();
            self.shell.verbose("runs 2 and 3 are made at once");
            // As far as is known, run 2 will be where run 1 was.
            let prove =
                || self.run_in(purpose, Some(&first.capture), self.world(), &format!("{PROVE}-at-once"), &shell);
            let (capture, second) = std::thread::scope(|scope| {
                let second = scope.spawn(prove);
                (self.run(purpose, None, &format!("place-{attempt}")), second.join())
            });
            if let (Ok(capture), Ok(Ok(second))) = (capture, second)
                && (!self.binary.pie || prove::are_comparable(&capture, &second))
            {
                return Ok((capture, Some(second)));
            }
            // Be it because one was in the way of the other, or because run 2 fails by itself.
            self.shell.verbose("that did not go well: they are made one after the other");
        }
        // A name as long as the other, because it is among what moves things on the stack.
        let name = if at_once { "again" } else { "place" };
        Ok((self.run(purpose, None, &format!("{name}-{attempt}"))?, None))
    }

    /// Whether runs 2 and 3 may be made at once: where there is memory and a processor for both, and neither may be in the
    /// way of the other. Of a runner nobody knows.
    fn may_be_at_once(&self, First { capture, is_small, .. }: &First) -> bool {
        let acts = !capture.outputs.is_empty() || capture.process.had_children;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        *is_small
            && capture.process.peak <= spare_memory() / SMALL_RUN
            && processors > 1
            && !acts
            && !self.options.keep_threads
            && self.options.runner.is_empty()
    }

    /// Finds out about image data, and meanwhile, if what it takes is small, whose its objects are. Statics that reach outside
    /// are not carried any more.
    fn examine(&self, Placed { mut frozen, mut statics, second }: Placed) -> Result<Examined> {
        let first = frozen.planned.as_mut().and_then(|planned| planned.first.take());
        let is_small = first.as_ref().is_some_and(|first| first.is_small);
        let places = statics.places();
        let frozen_now = &frozen;
        let paging = Paging::new(&frozen_now.data, frozen_now.capture.data_address());
        let relate = || {
            let related = first.zip(frozen_now.layout(&places)).map(|(first, layout)| {
                let kinship = first.relate(self.binary, layout)?;
                let contents = report::contents(&Objects { layout, kinship: &kinship });
                anyhow::Ok((kinship, contents))
            });
            paging.take_part();
            anyhow::Ok(related.transpose()?.unzip())
        };
        let examine = || {
            let Frozen { capture, data, .. } = frozen_now;
            let (mut proof, shown) = self.prove(frozen_now, &statics, second)?;
            statics.drop_those_that_reach_outside(&mut proof, capture, &self.options.allow_foreign);
            let references = statics.references(capture, data, &proof, self.twin.map(|twin| twin.distance));
            paging.take_part();
            anyhow::Ok((proof, shown, references))
        };
        let ((kinship, contents), (proof, shown, references)) = if is_small {
            std::thread::scope(|scope| {
                let kinship = scope.spawn(relate);
                let examined = examine();
                let kinship = kinship.join().map_err(|_| anyhow!("the captures could not be looked at"))?;
                anyhow::Ok((kinship?, examined?))
            })?
        } else {
            (relate()?, examine()?)
        };
        let pages = paging.finish();
        frozen.kinship = kinship;
        let contents = match contents {
            // What is not carried after all may have been on the way to something.
            Some(_) if statics.places() != places => frozen.objects(&statics.places()).as_ref().map(report::contents),
            contents => contents,
        };
        if self.binary.pie
            && let Some(unclear) = proof.unclear_in(Region::Executable)
        {
            let cause = self.why_unclear(&frozen, &statics, unclear.offset)?;
            bail!(
                "a word of the image (in {}) held an address of the executable in one freeze run and something else in \
                 {MOST_PROOFS} others, so static pointers cannot be told from data. {cause}",
                frozen.way(frozen.objects(&statics.places()).as_ref(), unclear.offset)
            );
        }
        Ok(Examined { frozen, statics, proof, shown, references, pages, contents })
    }
}
