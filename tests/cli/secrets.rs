//! Canaries: a secret is planted in every credential, everything is run, badly and well, and none of them is seen anywhere.
use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use taskrun::sandbox::Side;

use crate::{market::Market, shop::wait_until};

/// What every value of this kind begins with.
const CANARY: &str = "canary";

/// The marketplace's secrets and tokens, and a proxy's password.
fn planted() -> Market {
    let mut market = Market::with(|world| {
        for client in &mut world.clients {
            client.secret = format!("{CANARY}-secret-{:?}", client.side);
        }
        for account in &mut world.accounts {
            let kind = if account.side == Side::Amazon { "Atzr|" } else { "" };
            account.refresh = format!("{kind}{CANARY}-refresh-{}", account.name);
        }
    });
    market.set("PROXY", &format!("http://{CANARY}-user:{CANARY}-password@127.0.0.1:1"));
    market
}

fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Every value in every table but these.
fn dump(path: &Path, but: &[&str]) -> String {
    let conn = open(path);
    let mut names = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut text = String::new();
    for name in names.iter().filter(|name| !but.contains(&name.as_str())) {
        let mut rows = conn.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => {}
                }
                text.push('\n');
            }
        }
    }
    text
}

/// The text of every file under a folder, but for databases and the marketplace's own.
fn files(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "market" {
                files(&path, text);
            }
        } else if !name.contains(".db") && path.metadata().unwrap().is_file() {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
        }
    }
}

/// Every token that the marketplace has given out, and every one it was given.
fn tokens(market: &Market) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    for (file, sql) in [
        ("market/sandbox.db", "SELECT token FROM access UNION SELECT token FROM refresh"),
        ("state/taskrun.db", "SELECT access FROM tokens UNION SELECT refresh FROM tokens UNION SELECT previous_refresh FROM tokens"),
    ] {
        let conn = open(&market.shop.file(file));
        let mut rows = conn.prepare(sql).unwrap();
        tokens.extend(rows.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap().filter_map(Result::unwrap));
    }
    tokens
}

#[test]
fn acceptance_20_no_secret_is_seen_in_a_log_a_status_an_error_a_notice_or_another_table() {
    let mut market = planted();
    let mut seen = String::new();
    let mut run = |market: &Market, line: &str| {
        let done = market.run_with(&format!("{line} --log-level trace"), &format!("{CANARY}-typed\n"));
        seen.push_str(&done.out);
        seen.push_str(&done.err);
    };
    let all = [
        "once refresh_tokens",
        "once refresh_tokens --dry-run",
        "once validate_credentials",
        "once sync_inventory",
        "accounts check --json",
        "accounts list --json",
        "accounts list",
    ];
    for line in all {
        run(&market, line);
    }
    // Everything goes wrong: answers that are no answers, refusals, logins with nonsense, a proxy that is not there, keys that are no good.
    for plan in ["base:html", "amazon:400", "token:drop+", "all:redirect=host", "token:mistyped", "lwa:page"] {
        market.sandbox.plan(&plan.parse().unwrap());
        for line in all {
            run(&market, line);
        }
        market.sandbox.clear_faults();
    }
    market.write(", proxy: \"${PROXY}\"");
    for line in all {
        run(&market, line);
    }
    for line in ["accounts login amazon_main", "accounts login base_account_2", "accounts login base_account_1 --code canary-code"] {
        run(&market, line);
    }
    market.write("");
    market.set("FIRST", &format!("{CANARY}-slip"));
    market.set("LWA_SECRET", &format!("{CANARY}-wrong-key"));
    market.set("BASE_SECRET", &format!("{CANARY}-wrong-key"));
    market.sandbox.revoke(taskrun::sandbox::seed::SHOPS[0]);
    for line in all {
        run(&market, line);
    }
    let mut daemon = market.command("run --log-level trace").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the daemon answers", || market.run("status --json").code == 0);
    for line in [
        "trigger validate_credentials",
        "status --json",
        "status",
        "history --json",
        "check",
        "list --json",
        "explain refresh_tokens",
        "stop",
    ] {
        run(&market, line);
    }
    assert!(daemon.wait().unwrap().success());
    files(market.shop.path(), &mut seen);
    seen.push_str(&dump(&market.shop.file("state/taskrun.db"), &["tokens"]));
    assert!(seen.contains("refresh_tokens") && seen.contains("no new token"), "there was something to see");
    let tokens = tokens(&market);
    assert!(tokens.len() > 10 && dump(&market.shop.file("state/taskrun.db"), &[]).contains(CANARY), "and something that could be seen");
    let told: Vec<_> = tokens.iter().filter(|token| seen.contains(token.as_str())).collect();
    assert!(told.is_empty(), "{told:?}");
    let at: Vec<_> = seen.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(at.is_empty(), "{at:#?}");
}

/// A server that refuses everything, and repeats in its answer all that it was told. Where it is, and how often it was asked.
fn echo() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut told, mut piece) = (Vec::new(), [0; 4_096]);
            while let Ok(read @ 1..) = stream.read(&mut piece) {
                told.extend_from_slice(&piece[..read]);
                // The end of the headers; what of the body comes later is not of interest.
                if told.windows(4).any(|end| end == b"\r\n\r\n") {
                    break;
                }
            }
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let head = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                told.len()
            );
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&told)));
        }
    });
    (place, asked)
}

#[test]
#[expect(clippy::too_many_lines, clippy::format_push_string, reason = "one file with everything that may have a secret")]
fn a_server_or_a_program_that_repeats_what_it_was_told_tells_nobody() {
    let mut market = Market::new();
    let (place, asked) = echo();
    let planted = [
        "SOURCE_TOKEN",
        "CHAT_TOKEN",
        "HOOK",
        "HOOK_HEADER",
        "MAIL_PASSWORD",
        "HTTP_TOKEN",
        "OFFICE",
        "BODY",
        "JSON",
        "DB_PASSWORD",
        "ITEM",
    ];
    for name in planted {
        let value = format!("{CANARY}-{}-value", name.to_ascii_lowercase());
        market.set(name, &if name == "HOOK" { format!("http://{place}/hooks/{value}") } else { value });
    }
    market.write("");
    let file = market.shop.file("tasks.yaml");
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str(&format!(
        r#"  check: {{ handler: check_items, retries: {{ max: 0 }}, with: {{ source: yahoo, max_attempts: 1 }} }}
  call: {{ handler: http_request, with: {{ url: "http://{place}/${{ITEM}}", method: POST, headers: {{ Authorization: "Bearer ${{OFFICE}}" }}, json: {{ a: "${{JSON}}" }} }} }}
  call_plain: {{ handler: http_request, with: {{ url: "http://{place}/", method: PUT, headers: {{ X-Key: {{ file: market/key }} }}, body: "${{BODY}}" }} }}
  talkative: {{ handler: command, with: {{ run: ["echo $DB; echo $DB >&2; exit 3"], shell: true, env: {{ DB: "${{DB_PASSWORD}}" }} }} }}
  argument: {{ handler: command, with: {{ run: ["sh", "-c", "echo $0; false", "${{DB_PASSWORD}}"] }} }}
http_hosts: [{{ host: "{place}", private: true }}]
http: {{ listen: "127.0.0.1:0", token: "${{HTTP_TOKEN}}" }}
sources: {{ yahoo: {{ endpoint: "http://{place}", token: "${{SOURCE_TOKEN}}" }} }}
notify:
  chatwork: {{ room_id: "1", token: "${{CHAT_TOKEN}}", endpoint: "http://{place}" }}
  webhook: {{ url: "${{HOOK}}", headers: {{ X-Key: "${{HOOK_HEADER}}" }} }}
  email: {{ smtp: "{place}", tls: none, username: shop, password: "${{MAIL_PASSWORD}}", from: shop@example.com, to: [owner@example.com], on: [daily_report] }}
"#
    ));
    fs::write(&file, text).unwrap();
    fs::write(market.shop.file("market/key"), format!("{CANARY}-file-value\n")).unwrap();
    fs::set_permissions(market.shop.file("market/key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let supplies = format!("account,sku,source,item,query,max_price\n{},SKU-1,yahoo,x1,camera,1000\n", taskrun::sandbox::seed::SELLER);
    fs::write(market.shop.file("supplies.csv"), supplies).unwrap();
    let mut seen = String::new();
    let mut run = |line: &str, code: Option<i32>| {
        let done = market.run(&format!("{line} --log-level trace"));
        assert!(code.is_none_or(|code| done.code == code), "{line}: {done:#?}");
        seen.push_str(&done.out);
        seen.push_str(&done.err);
    };
    run("check", Some(0));
    run("supplies import supplies.csv", Some(0));
    run("once check", Some(0));
    for line in ["once call", "once call_plain", "once talkative", "once argument", "notify test"] {
        run(line, Some(1));
    }
    for line in ["once call --dry-run", "once talkative --dry-run", "explain argument", "explain call"] {
        run(line, Some(0));
    }
    let mut daemon = market.command("run --log-level trace").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the daemon answers", || market.run("status --json").code == 0);
    for line in [
        "trigger talkative",
        "trigger argument",
        "trigger call",
        "status --json",
        "list --json",
        "notify list --json",
        "history --json",
        "work list --json",
    ] {
        run(line, Some(0));
    }
    wait_until("all has ended", || market.run("status --json").json()["runs"].as_array().unwrap().is_empty());
    run("stop", Some(0));
    assert!(daemon.wait().unwrap().success());
    run("history --json", Some(0));
    files(market.shop.path(), &mut seen);
    seen.push_str(&dump(&market.shop.file("state/taskrun.db"), &["tokens"]));
    assert!(5 < asked.load(std::sync::atomic::Ordering::Relaxed) && seen.contains("channel_failed"), "there was something to see");
    assert!(seen.matches("***").count() > 10, "and it was masked");
    let at: Vec<_> = seen.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(at.is_empty(), "{at:#?}");
}
