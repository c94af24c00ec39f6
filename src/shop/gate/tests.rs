use super::*;

fn needle(word: &str) -> Needle {
    Needle::new(word).unwrap()
}

fn group(name: &str, score: u32, words: &[&str], except: &[&str]) -> Group {
    let needles = |words: &[&str]| words.iter().map(|word| needle(word)).collect();
    Group { name: name.into(), score, words: needles(words), except: needles(except) }
}

fn rules() -> Rules {
    Rules {
        version: 3,
        groups: vec![
            group("alcohol", 100, &["ビール", "gin", "ウイスキー"], &["ノンアルコール"]),
            group("medicine", 60, &["医薬品", "ビタミン剤"], &[]),
            group("weapons", 30, &["ナイフ"], &[]),
        ],
        categories: vec![
            CategoryRule { path: "食品・飲料・お酒 > お酒".into(), score: 100 },
            CategoryRule { path: "食品・飲料・お酒".into(), score: 20 },
        ],
        brands: vec![needle("Acme")],
        banned: [asin(9)].into(),
        allowed: [asin(8)].into(),
        removed: vec![needle("Amazon.co.jp限定"), needle("Amazon")],
    }
}

fn asin(n: u32) -> Asin {
    Asin::parse(&format!("B0TEST{n:04}")).unwrap()
}

fn judged(n: u32, title: &str, category: &str) -> Verdict {
    judge(&Candidate { asin: &asin(n), title, description: "", brand: "", category }, &rules())
}

fn is_blocked(verdict: &Verdict, by: &str) -> bool {
    matches!(verdict, Verdict::Block(reasons) if reasons.iter().any(|reason| &*reason.rule == by))
}

#[test]
fn a_word_is_found_in_any_width_and_case_and_never_inside_another() {
    for title in ["クラフトビール 6本", "ｸﾗﾌﾄﾋﾞｰﾙ", "Dry GIN 700ml", "Ｇｉｎ"] {
        assert!(is_blocked(&judged(1, title, ""), "alcohol"), "{title}");
    }
    for title in ["エンジンengine模型", "ginger ale", "水筒"] {
        assert_eq!(judged(1, title, ""), Verdict::Pass, "{title}");
    }
}

#[test]
fn an_exception_cancels_its_own_group_and_nothing_else() {
    assert_eq!(judged(1, "ノンアルコールビール", ""), Verdict::Pass);
    assert!(is_blocked(&judged(1, "ノンアルコールビール", "食品・飲料・お酒 > お酒 > ビール"), "category"), "the category still counts");
    assert!(matches!(judged(1, "ノンアルコールビール 医薬品", ""), Verdict::Review(reasons) if reasons.len() == 1));
}

#[test]
fn scores_add_up_to_a_look_and_to_a_block() {
    assert_eq!(judged(1, "ナイフ", ""), Verdict::Pass);
    assert!(
        matches!(judged(1, "ナイフ", "食品・飲料・お酒 > 菓子"), Verdict::Review(reasons) if reasons.iter().map(|reason| reason.score).sum::<u32>() == 50)
    );
    assert!(is_blocked(&judged(1, "医薬品 ナイフ", ""), "weapons"));
    assert!(matches!(judged(1, "医薬品 ビタミン剤", ""), Verdict::Review(_)), "a group counts once");
}

#[test]
fn the_deepest_branch_of_the_category_decides() {
    assert!(is_blocked(&judged(1, "グラス", "食品・飲料・お酒>お酒"), "category"));
    assert_eq!(judged(1, "グラス", "食品・飲料・お酒 > お茶"), Verdict::Pass);
    assert_eq!(judged(1, "グラス", "お酒"), Verdict::Pass, "another branch with the same end");
}

#[test]
fn a_ban_counts_before_all_and_a_persons_word_before_the_rest() {
    assert!(is_blocked(&judged(9, "水筒", ""), "banned"));
    assert_eq!(judged(8, "ビール", "食品・飲料・お酒 > お酒"), Verdict::Pass);
    let both = Rules { allowed: [asin(9)].into(), ..rules() };
    let candidate = Candidate { asin: &asin(9), title: "水筒", description: "", brand: "", category: "" };
    assert!(is_blocked(&judge(&candidate, &both), "banned"), "a ban is the stronger word");
    let brand = Candidate { asin: &asin(1), brand: "ACME", ..candidate };
    assert!(is_blocked(&judge(&brand, &rules()), "brand"));
}

#[test]
fn words_are_taken_out_of_titles_without_a_trace() {
    let words = rules().removed;
    for (title, cleaned) in [
        ("【Amazon.co.jp限定】水筒 500ml", "水筒 500ml"),
        ("水筒（ＡＭＡＺＯＮ．ＣＯ．ＪＰ限定）", "水筒"),
        ("水筒 Amazon.co.jp 限定", "水筒 .co.jp 限定"),
        ("水筒 / Amazon", "水筒"),
        ("水筒 😀✨ 新品", "水筒 ✨ 新品"),
        ("水筒", "水筒"),
        ("【 】", ""),
    ] {
        assert_eq!(clean(title, &words).text, cleaned, "{title}");
    }
    assert_eq!(clean("【Amazon.co.jp限定】水筒", &words).removed, ["Amazon.co.jp限定".into()], "the shorter word found nothing any more");
    assert_eq!(clean("Amazonite の指輪", &words).text, "Amazonite の指輪");
}
