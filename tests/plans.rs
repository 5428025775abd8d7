//! Execution plans of the program: shown, given back, refused; kernels by name; devices; profiles; the levels of memory of a server.

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use support::{Server, program, root};

fn tiny() -> String {
    root().join("tests/data/tiny").display().to_string()
}

/// Where what is measured of the machine is kept, for all of these tests.
const CACHE: &str = env!("CARGO_TARGET_TMPDIR");

/// The program, in a folder of its own.
fn whinchat(folder: &Path, args: &[&str]) -> Output {
    program().args(args).env("XDG_CACHE_HOME", CACHE).current_dir(folder).output().expect("the program starts")
}

fn stdout(cache: &Path, args: &[&str]) -> String {
    let output = whinchat(cache, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn refusal(cache: &Path, args: &[&str]) -> String {
    let output = whinchat(cache, args);
    assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn plan(cache: &Path, args: &[&str]) -> Value {
    let text = stdout(cache, &[&["plan", &tiny(), "--json"], args].concat());
    serde_json::from_str(&text).expect("JSON")
}

/// What the model goes on with.
fn answer(cache: &Path, args: &[&str]) -> String {
    stdout(cache, &[&["run", "--raw", "--model", &tiny(), "--temperature", "0", "-n", "16", "abc"], args].concat())
}

#[test]
fn a_plan_says_what_is_computed_and_what_it_costs() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = plan(folder.path(), &["--rows", "4", "--past", "100"]);
    assert_eq!((&found["object"], &found["version"], &found["source"]), (&json!("plan"), &json!(1), &json!("built")));
    assert_eq!(found["shape"], json!({ "sequences": 4, "rows": 1, "context": 100 }));
    let operators = found["operators"].as_array().expect("a list");
    let products = operators.iter().filter(|operator| operator["op"] == "product");
    let sum =
        |name: &str| operators.iter().map(|operator| operator["cost"][name].as_f64().expect("a number")).sum::<f64>();
    assert!(products.count() > 2 && operators.iter().any(|operator| operator["op"] == "attention"));
    for name in [
        "read_bytes",
        "written_bytes",
        "weight_bytes",
        "memory_bytes",
        "int8_operations",
        "f32_operations",
        "predicted_us",
    ] {
        let total = found["total"][name].as_f64().expect("a number");
        assert!((sum(name) - total).abs() <= 1e-6 * total && total.is_finite(), "{name}: {total}");
    }
    assert!(found["total"]["weight_bytes"].as_u64() > Some(0) && found["total"]["predicted_us"].as_f64() > Some(0.0));
    let fired = found["fusion"].as_array().expect("a list").iter().filter(|rule| rule["fired"].as_u64() > Some(0));
    assert!(fired.count() > 3, "{:#}", found["fusion"]);
    let table = stdout(folder.path(), &["plan", &tiny()]);
    assert!(table.contains("attention") && table.contains("at best") && table.contains("room for values"), "{table}");
}

#[test]
fn a_plan_that_computes_the_same_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let wanted = answer(cache, &[]);
    let path = cache.join("plan.json").display().to_string();
    std::fs::write(&path, plan(cache, &[]).to_string()).expect("written");
    assert_eq!(answer(cache, &["--plan", &path]), wanted);
    let checked = stdout(cache, &["plan", "check", &path, "--model", &tiny()]);
    assert!(checked.contains("computes what tiny computes"), "{checked}");
    // Values may have other names.
    let renamed = std::fs::read_to_string(&path).expect("it is there").replace("\"outputs\":[0]", "\"outputs\":[9000]");
    let renamed = renamed.replace("\"inputs\":[0]", "\"inputs\":[9000]").replace("\"inputs\":[0,", "\"inputs\":[9000,");
    std::fs::write(&path, renamed).expect("written");
    assert_eq!(answer(cache, &["--plan", &path]), wanted);
    // A product and the addition to the residual stream may be two operators.
    let mut parted = plan(cache, &[]);
    let operators = parted["operators"].as_array_mut().expect("a list");
    let at = operators.iter().position(|one| one["op"] == "product" && one["end"] == "add").expect("one");
    let product = operators[at].clone();
    let linear =
        json!({ "op": "linear", "weight": product["weights"][0], "inputs": [product["inputs"][1]], "outputs": [9001] });
    let add = json!({ "op": "add", "inputs": [product["inputs"][0], 9001], "outputs": product["outputs"] });
    operators.splice(at..=at, [linear, add]);
    std::fs::write(&path, parted.to_string()).expect("written");
    assert_eq!(answer(cache, &["--plan", &path]), wanted);
    let shown = stdout(cache, &["plan", &tiny(), "--plan", &path]);
    assert!(shown.contains("linear") && shown.contains(&path), "{shown}");
}

#[test]
fn a_plan_that_is_wrong_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let path = cache.join("plan.json").display().to_string();
    let sound = plan(cache, &[]);
    let operators = || sound["operators"].as_array().expect("a list").clone();
    let at = |op: &str| operators().iter().position(|operator| operator["op"] == op).expect("there is one");
    let changed = |op: &str, field: &str, value: Value| {
        let mut plan = sound.clone();
        plan["operators"][at(op)][field] = value;
        plan
    };
    let scale = sound["operators"][at("attention")]["scale"].as_f64().expect("a number");
    let mut other_output = sound.clone();
    other_output["output"]["value"] = json!(0);
    let rows = [
        (json!({}), "version must be 1"),
        (json!({ "version": 1 }), "operators is missing"),
        (changed("attention", "scale", json!(2.0 * scale)), "it does not compute what the model computes"),
        (changed("attention", "layer", json!(99)), "layer 99 of"),
        (changed("attention", "heads", json!(0)), "heads must be a whole number above 0"),
        (changed("attention", "op", json!("divine")), "there is no operator \"divine\""),
        (changed("attention", "inputs", json!([77_777])), "value 77777 is read before it is made"),
        (changed("product", "weights", json!(["nothing"])), "the model has no weight \"nothing\""),
        (changed("embed", "outputs", json!([])), "it gives 1 values, but 0 are named"),
        (other_output, "must be numbers with a row for each output"),
    ];
    for (plan, why) in rows {
        std::fs::write(&path, plan.to_string()).expect("written");
        let said = refusal(cache, &["run", "--raw", "--model", &tiny(), "--plan", &path, "abc"]);
        assert!(said.contains(why) && said.contains("--plan "), "{why}: {said}");
        let said = refusal(cache, &["plan", "check", &path, "--model", &tiny()]);
        assert!(said.contains(why), "{why}: {said}");
    }
    std::fs::write(&path, "{").expect("written");
    let said = refusal(cache, &["run", "--raw", "--model", &tiny(), "--plan", &path, "abc"]);
    assert!(said.contains("it is no JSON"), "{said}");
}

#[test]
fn kernels_by_name_change_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let wanted = answer(cache, &[]);
    for kernel in ["product=registers", "product=decoded/2", "attention=split", "product@1=registers/16"] {
        assert_eq!(answer(cache, &["--kernel", kernel]), wanted, "{kernel}");
    }
    for (kernel, why) in [
        ("product=fast", "there is no kernel \"fast\""),
        ("product=amx", "the operator has auto"),
        ("scan=held", "the plan has no such operator; those with a choice are attention"),
        ("isa=z80", "this machine has no instruction set \"z80\""),
    ] {
        let said = refusal(cache, &["run", "--raw", "--model", &tiny(), "--kernel", kernel, "abc"]);
        assert!(said.contains(why), "{kernel}: {said}");
    }
    assert_eq!(plan(cache, &["--kernel", "isa=portable"])["isa"], "portable");
}

#[test]
fn profiles_are_compared_and_tuning_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let [before, after] = ["before.json", "after.json"].map(|name| cache.join(name).display().to_string());
    for (path, kernel) in [(&before, "product=auto"), (&after, "product=registers/2")] {
        let words =
            ["--rows", "1,8", "--past", "20", "--repeats", "1", "--kernel", kernel, "--out", path, "--commit", "abc"];
        let said = stdout(cache, &[&["plan", "profile", &tiny()], &words[..]].concat());
        assert!(said.contains("attention") && said.contains("a step of 8 rows"), "{said}");
    }
    let comparison: Value =
        serde_json::from_str(&stdout(cache, &["plan", "compare", &before, &after, "--json"])).expect("JSON");
    let rows = comparison["operators"].as_array().expect("a list");
    let product = rows.iter().find(|row| row["op"] == "product").expect("one");
    assert_eq!((&product["before_kernel"], &product["after_kernel"]), (&json!("auto"), &json!("registers/2")));
    assert!(rows.iter().all(|row| row["ratio"].as_f64() > Some(0.0)), "{rows:#?}");
    assert_eq!(comparison["before"]["commit"], "abc");
    let table = stdout(cache, &["plan", "compare", &before, &after]);
    assert!(table.contains("before µs") && table.contains("product=registers/2"), "{table}");
    assert!(
        refusal(cache, &["plan", "compare", &before, "no-such-profile"]).contains("no-such-profile")
            || cfg!(not(feature = "batches"))
    );
    let weights = cache.join("weights").display().to_string();
    let words = ["tune", &tiny(), "--past", "8", "--repeats", "1", "--weights-cache", &weights, "--json"];
    let tuned: Value = serde_json::from_str(&stdout(cache, &words)).expect("JSON");
    assert_eq!((tuned["version"].as_u64(), tuned["steps"].as_array().map(Vec::len)), (Some(1), Some(4)));
    let kept = std::fs::read_dir(&weights).expect("a folder").flatten();
    let kept = kept.filter(|entry| entry.path().to_string_lossy().ends_with(".kernels.json")).count();
    assert_eq!((kept, answer(cache, &["--weights-cache", &weights])), (1, answer(cache, &[])));
}

/// A server on the small model.
fn serve(folder: &Path, flags: &[&str]) -> Server {
    let mut command = program();
    command.env("XDG_CACHE_HOME", CACHE).current_dir(folder);
    let (model, listen) = (tiny(), "127.0.0.1:0");
    Server::start_as(command, &[&["--alias", "tiny", "--listen", listen, "--model", &model, "--admin"], flags].concat())
}

fn fetch(server: &Server, line: &str, body: &Value) -> Value {
    let (status, body) = server.fetch(line, &[], body.to_string().as_bytes());
    assert_eq!(status, 200, "{line}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn a_server_tells_its_plan_and_takes_kernels() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &["--weights-cache", "off"]);
    let none = json!({});
    let plan = fetch(&server, "GET /plan?rows=4&context=10", &none);
    assert!(plan["operators"].as_array().is_some_and(|all| all.iter().any(|one| one["kernel"]["1"] == "auto")));
    let question = json!({ "prompt": "abc", "temperature": 0, "max_tokens": 8 });
    let said = || fetch(&server, "POST /v1/completions", &question)["choices"][0]["text"].clone();
    let wanted = said();
    let chosen =
        fetch(&server, "PUT /plan/kernels", &json!({ "kernels": ["product@1=registers/2", "attention=split"] }));
    let product = |kernels: &Value| {
        let all = kernels["operators"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["op"] == "product").expect("one")["kernel"]["1"].clone()
    };
    assert_eq!((product(&chosen), said()), (json!("registers/2"), wanted.clone()));
    assert_eq!(product(&fetch(&server, "PUT /plan/kernels", &json!({ "kernels": [] }))), "auto");
    let checked = fetch(&server, "POST /plan/check", &json!({ "plan": plan }));
    assert_eq!((&checked["valid"], &checked["why"]), (&json!(true), &Value::Null));
    let profile =
        fetch(&server, "POST /plan/profile", &json!({ "rows": [4], "context": 10, "repeats": 1, "note": "here" }));
    assert!(profile["operators"].as_array().is_some_and(|rows| rows.len() > 3) && profile["note"] == "here");
    let plan = fetch(&server, "GET /plan?rows=4&context=10", &none);
    assert!(plan["operators"][0]["cost"]["measured_us"].as_f64() > Some(0.0), "{:#}", plan["operators"][0]);
    let trial = fetch(&server, "POST /plan/trial", &json!({ "kernels": "product=registers/2", "share": 0.5 }));
    assert_eq!((&trial["state"], said()), (&json!("running"), wanted));
    let ended = fetch(&server, "DELETE /plan/trial", &none)["state"].clone();
    assert!(ended == "ended" || ended == "taken" || ended == "refused", "{ended}");
    let (status, body) = server.fetch("PUT /plan/kernels", &[], br#"{"kernels":"product=amx"}"#);
    assert!(status == 400 && body.contains("the operator has auto"), "{status} {body}");
}

#[test]
fn what_has_no_room_in_the_cache_goes_from_level_to_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = folder.path().display().to_string();
    let server = serve(folder.path(), &["--kv-host", "1MiB", "--kv-spill", &spill, "--kv-host-eviction", "fifo"]);
    let none = json!({});
    let question = json!({ "prompt": "abcdefgh".repeat(12), "temperature": 0, "max_tokens": 1 });
    let ask = || fetch(&server, "POST /v1/completions", &question);
    let wanted = ask()["choices"][0]["text"].clone();
    let tier = |report: &Value, at: usize, field: &str| report["tiers"][at][field].clone();
    let plan = fetch(&server, "GET /memory/plan", &none);
    assert_eq!(
        (tier(&plan, 1, "tier"), tier(&plan, 1, "rule"), tier(&plan, 2, "tier")),
        (json!("host"), json!("fifo"), json!("file"))
    );
    let flushed = fetch(&server, "POST /memory/flush", &json!({ "tier": "device" }));
    assert!(flushed["done"].as_u64() > Some(0) && tier(&flushed, 1, "entries").as_u64() > Some(0), "{flushed:#}");
    let below = fetch(&server, "POST /memory/flush", &json!({ "tier": "host" }));
    assert_eq!((tier(&below, 1, "entries"), tier(&below, 2, "entries")), (json!(0), flushed["done"].clone()));
    assert_eq!(ask()["choices"][0]["text"], wanted);
    let services = fetch(&server, "GET /memory/usage?by=service", &none)["services"].clone();
    assert!(services["computation"]["weight_bytes"].as_u64() > Some(0), "{services:#}");
    let (status, metrics) = server.fetch("GET /metrics", &[], b"");
    assert!(
        status == 200 && metrics.contains("whinchat_algorithm_tier_host_hits_total{model_name=\"tiny\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("whinchat_algorithm_tier_entry_bytes_bucket{"), "{metrics}");
}

/// The CPU twice is two devices: each computes a layer, and keeps what that remembers.
#[test]
fn layers_that_are_divided_give_the_same_logits() {
    let folder = tempfile::tempdir().expect("a folder");
    let logits = |device: &str, says: &str| {
        let out = folder.path().join(device);
        let path = out.display().to_string();
        let tokens = "1,2,3,300,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20";
        let output = whinchat(
            folder.path(),
            &["logits", "--model", &tiny(), "--device", device, "--tokens", tokens, "--out", &path],
        );
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && error.contains(says), "{device}: {error}");
        std::fs::read(out).expect("logits")
    };
    let whole = logits("cpu", "");
    for (device, says) in [
        ("cpu+cpu", "note: layer 0 on cpu, layer 1 on cpu"),
        // There are two layers: the third device has none.
        ("cpu+cpu+cpu", "note: layer 0 on cpu, layer 1 on cpu"),
    ] {
        assert!(logits(device, says) == whole, "{device}");
    }
    let check = |args: &[&str], parts: &[&str]| {
        let said = refusal(folder.path(), args);
        assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    };
    let base = ["run", "--model", &tiny(), "Once"];
    check(&[&base[..], &["--gpu-layers", "1"]].concat(), &["--gpu-layers", "--device cpu+gpu"]);
    check(&[&base[..], &["--device", "cpu+tpu"]].concat(), &["\"cpu+tpu\" is no device", "cpu+gpu"]);
    check(&[&base[..], &["--device", "cpu+cpu", "--kernel", "isa=portable"]].concat(), &["--kernel", "--device cpu"]);
    check(&["serve", "--device", "cpu,tpu"], &["model.device", "\"tpu\" is no device"]);
    check(&["serve", "--gpu-layers", "few"], &["model.gpu_layers", "\"few\" is no number of layers"]);
    if !whinchat::HAS_GPU {
        check(&[&base[..], &["--device", "cpu+gpu"]].concat(), &["this build uses no GPU", "--features gpu"]);
    }
}

#[test]
fn devices_say_what_they_can_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let listed = stdout(folder.path(), &["devices", "--json", "--no-measure"]);
    let cpu: Value = serde_json::from_str(listed.lines().next().expect("the CPU")).expect("JSON");
    assert_eq!((&cpu["device"], &cpu["speed"], &cpu["types"]), (&"cpu".into(), &Value::Null, &Value::Null));
    let measured = stdout(folder.path(), &["devices"]);
    let reads = measured.lines().find_map(|line| line.trim().strip_prefix("reads ")).expect("what the CPU reads");
    let figure: f64 = reads.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(figure > 0.0, "{measured}");
    assert!(measured.contains("weights of every type as they are"), "{measured}");
}
