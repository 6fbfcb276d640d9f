"""The texts of the page, in English and Turkish."""

from __future__ import annotations

LANGUAGES = ("en", "tr")

# Key -> (English, Turkish). Both name the same values.
TEXTS: dict[str, tuple[str, str]] = {
    "intro": (
        "A sentence-embedding model cuts text into tokens and turns it into a vector. The **student** is its "
        "**teacher** "
        "with another tokenizer: one that knows {language}. See what that changes.",
        "Bir cümle gömme modeli metni parçalara (token) böler ve bir vektöre çevirir. **Öğrenci**, "
        "**öğretmen** modelin "
        "parçalayıcısı değiştirilmiş hâlidir: {language} bilen bir parçalayıcı. Neyin değiştiğini burada görün.",
    ),
    "tab_tokens": ("Tokenizers", "Parçalayıcılar"),
    "tab_search": ("Search", "Arama"),
    "tab_similarity": ("Similarity", "Benzerlik"),
    "tab_results": ("Results", "Sonuçlar"),
    "teacher": ("teacher", "öğretmen"),
    "clone": ("clone, before training", "eğitimden önceki kopya"),
    "student": ("student", "öğrenci"),
    "example": ("Example in", "Örnek dil"),
    "text": ("Text", "Metin"),
    "text_info": (
        "Up to {longest} characters; cut while you type.",
        "En çok {longest} karakter; siz yazarken parçalanır.",
    ),
    "other_tokenizers": ("Compare other tokenizers", "Başka parçalayıcıları karşılaştır"),
    "first": ("First: teacher, student or a Hub id", "Birinci: teacher, student ya da bir Hub kimliği"),
    "second": ("Second: teacher, student or a Hub id", "İkinci: teacher, student ya da bir Hub kimliği"),
    "compare": ("Compare", "Karşılaştır"),
    "show_ids": ("Show ids", "Numaraları göster"),
    "verdict_less": (
        "{first} needs {a} tokens for this text, {second} {b} ({change}). A model that reads {window} tokens "
        "at once reads "
        "about {words_a} words of such text with the first and {words_b} with the second. A model's work "
        "grows with the "
        "tokens: the same text is about {work} % of the work.",
        "{first} bu metin için {a} parça kullanıyor, {second} ise {b} ({change}). Bir seferde {window} parça "
        "okuyan bir model "
        "böyle bir metnin birincisiyle yaklaşık {words_a}, ikincisiyle {words_b} sözcüğünü okur. Modelin işi "
        "parça sayısıyla "
        "artar: aynı metin, işin yaklaşık yüzde {work} kadarını ister.",
    ),
    "verdict_more": (
        "{first} needs {a} tokens for this text, {second} {b} ({change}). A model that reads {window} tokens "
        "at once reads "
        "about {words_a} words of such text with the first and only {words_b} with the second: it costs "
        "{work} % of the work.",
        "{first} bu metin için {a} parça kullanıyor, {second} ise {b} ({change}). Bir seferde {window} parça "
        "okuyan bir model "
        "böyle bir metnin birincisiyle yaklaşık {words_a}, ikincisiyle yalnızca {words_b} sözcüğünü okur: iş "
        "yüzde {work} olur.",
    ),
    "verdict_same": (
        "Both need {a} tokens for this text: {window} tokens are about {words_a} words.",
        "İkisi de bu metin için {a} parça kullanıyor: {window} parça yaklaşık {words_a} sözcük eder.",
    ),
    "no_tokens": ("There is nothing to cut in this text.", "Bu metinde parçalanacak bir şey yok."),
    "tokens": ("tokens", "parça"),
    "tokens_of": ("Tokens of {name}", "{name}: parçalar"),
    "per_word": ("per word", "sözcük başına"),
    "per_character": ("per character", "karakter başına"),
    "vocabulary": ("vocabulary", "sözlük"),
    "new": ("new", "yeni"),
    "gone": ("gone", "giden"),
    "kept": ("kept", "kalan"),
    "new_means": ("the first does not have this token.", "birincide bu parça yok."),
    "gone_means": ("the second no longer has it.", "ikincide artık yok."),
    "signs": (
        "␣ is a space, ## goes on with a word, ⟨E2⟩ is a byte.",
        "␣ boşluktur, ## sözcüğün devamıdır, ⟨E2⟩ bir bayttır.",
    ),
    "vocabularies": (
        "Of the vocabularies, {both} tokens are in both, {only_first} only in the first, {only_second} only "
        "in the second.",
        "Sözlüklerde {both} parça ortak; {only_first} parça yalnız birincide, {only_second} parça yalnız ikincide.",
    ),
    "more_tokens": ("… and {number} more.", "… ve {number} tane daha."),
    "language": ("language", "dil"),
    "change": ("change", "fark"),
    "languages_title": ("Tokens per word by language", "Dillere göre sözcük başına parça"),
    "languages_caption": (
        "Tokens per word in {number} languages, measured on text of the run (* per character). Fewer is cheaper.",
        "{number} dilde sözcük başına parça; çalışmanın kendi metinlerinde ölçüldü (* karakter başına). Azı ucuzdur.",
    ),
    "corpus": ("Documents", "Belgeler"),
    "corpus_passages": ("120 Turkish passages", "120 Türkçe paragraf"),
    "corpus_sentences": ("1,800 sentences, Turkish and English", "Türkçe ve İngilizce 1.800 cümle"),
    "corpus_languages": ("40 sentences in 40 languages", "40 dilde 40 cümle"),
    "corpus_documents": ("the owner's documents", "sayfa sahibinin belgeleri"),
    "corpus_own": ("my own", "kendi belgelerim"),
    "own_info": (
        "At most {documents} documents of {characters} characters; files up to {megabytes} MB. They stay with "
        "this visit: only "
        "their vectors stay in memory for a while.",
        "En çok {documents} belge, her biri {characters} karakter; dosyalar {megabytes} MB'a kadar. Bu "
        "ziyarette kalırlar: "
        "yalnızca vektörleri bir süre bellekte tutulur.",
    ),
    "paste": ("Paste: a document a line, or a paragraph", "Yapıştırın: satır ya da paragraf başına bir belge"),
    "file": ("File (.txt, .csv, .pdf with text)", "Dosya (.txt, .csv, metinli .pdf)"),
    "dataset": (
        "Public Hub dataset: id, or id:config:split:column",
        "Açık Hub veri kümesi: id ya da id:config:split:column",
    ),
    "load": ("Use these documents", "Bu belgeleri kullan"),
    "loaded": ("{number} documents are ready.", "{number} belge hazır."),
    "query": ("Query", "Sorgu"),
    "query_examples": ("Example queries", "Örnek sorgular"),
    "search": ("Search", "Ara"),
    "advanced": ("Smaller vectors", "Küçük vektörler"),
    "dimension": ("Numbers of a vector (Matryoshka)", "Vektörün boyutu (Matruşka)"),
    "dimension_info": (
        "The first so many. Models that were not trained for it lose more.",
        "Baştan bu kadarı. Bunun için eğitilmemiş modeller daha çok yitirir.",
    ),
    "precision": ("Stored as", "Saklama biçimi"),
    "precision_float32": ("float32: 4 bytes", "float32: 4 bayt"),
    "precision_int8": ("int8: 1 byte", "int8: 1 bayt"),
    "precision_binary": ("binary: 1 bit", "ikili: 1 bit"),
    "top": ("Results", "Sonuç sayısı"),
    "searched": ("Searched {number} documents.", "{number} belgede arandı."),
    "score": ("cosine", "kosinüs"),
    "time_query": ("query: encode + search", "sorgu: kodlama + arama"),
    "time_documents": ("encoding of 1,000 documents", "1.000 belgenin kodlanması"),
    "memory": ("memory of the vectors", "vektörlerin belleği"),
    "agreement": ("same results as full vectors", "tam vektörlerle aynı sonuç"),
    "quality": ("sample questions answered in the first 5 (full)", "ilk 5'te yanıtlanan örnek sorular (tam)"),
    "sentences": ("Sentences, one a line", "Cümleler, her satıra bir tane"),
    "sentences_info": ("2 to {most}, in any languages.", "2 ile {most} arası, istediğiniz dillerde."),
    "measure": ("Compare meanings", "Anlamları karşılaştır"),
    "heat_caption": ("Cosine of each pair, {name}", "Her çiftin kosinüsü, {name}"),
    "map_title": ("## Map of a corpus", "## Bir derlemin haritası"),
    "draw": ("Draw the map", "Haritayı çiz"),
    "map_label": ("Map of {number} texts by {name}", "{name}: {number} metnin haritası"),
    "map_means": (
        "Each dot is a text: point at it to read it. Near dots mean the same to the model. Colours are topics "
        "or languages; "
        "the two directions are those in which the vectors differ most.",
        "Her nokta bir metindir: okumak için üzerine gelin. Yakın noktalar model için aynı anlama gelir. "
        "Renkler konu ya da "
        "dildir; iki yön, vektörlerin en çok ayrıldığı yönlerdir.",
    ),
    "scores_title": ("What the run measured", "Çalışmada ölçülenler"),
    "scores_caption": (
        "Scores are x100, cosines and speeds are not; all models ran in fp32 with the same code.",
        "Puanlar 100 ile çarpılmıştır, kosinüs ve hız çarpılmamıştır; modeller aynı kodla fp32'de çalıştı.",
    ),
    "parameters": ("parameters", "parametre"),
    "figure_tokens_per_word": ("Tokens per word by language", "Dillere göre sözcük başına parça"),
    "figure_heldout_cosine": (
        "Held-out cosine to the teacher over training",
        "Eğitim boyunca, ayrılmış metinde öğretmene kosinüs",
    ),
    "links": ("## Links", "## Bağlantılar"),
    "link_model": ("Model", "Model"),
    "link_tokenizer": ("Tokenizer", "Parçalayıcı"),
    "link_dataset": ("Teacher's vectors", "Öğretmenin vektörleri"),
    "link_teacher": ("Teacher", "Öğretmen"),
    "link_paper": ("Paper", "Makale"),
    "make": ("## Make your own", "## Kendinizinkini yapın"),
    "make_info": (
        "Choose a teacher on the Hub, a language and the size of the vocabulary; the command follows.",
        "Hub'dan bir öğretmen, bir dil ve sözlük boyu seçin; komut ona göre yazılır.",
    ),
    "make_teacher": ("Teacher (Hub id)", "Öğretmen (Hub kimliği)"),
    "make_language": ("Language", "Dil"),
    "make_vocabulary": ("Tokens of the vocabulary", "Sözlükteki parça sayısı"),
    "make_command": ("Command", "Komut"),
    "share": (
        "The address of this page follows what you do: copy it to share it (your own documents are not in it).",
        "Bu sayfanın adresi yaptıklarınızı izler: paylaşmak için kopyalayın (kendi belgeleriniz adreste yer almaz).",
    ),
    "press_compare": (
        "Press Compare to use tokenizers of the Hub.",
        "Hub'daki parçalayıcılar için Karşılaştır'a basın.",
    ),
    "error_no_documents": (
        "Give documents first: paste them, or choose a file or a dataset, and use them.",
        "Önce belge verin: yapıştırın ya da bir dosya veya veri kümesi seçip kullanın.",
    ),
    "error_empty": ("There is no text.", "Metin yok."),
    "error_long": (
        "The text has {characters} characters; at most {longest} are read here.",
        "Metinde {characters} karakter var; burada en çok {longest} karakter okunur.",
    ),
    "error_time": (
        "This took longer than {seconds} seconds and was given up. Try less text.",
        "Bu iş {seconds} saniyeden uzun sürdü ve bırakıldı. Daha az metinle deneyin.",
    ),
    "error_busy": (
        "Too many others are asking. Try again in a minute.",
        "Çok istek var. Bir dakika sonra yeniden deneyin.",
    ),
    "error_encoding": (
        "These documents are still being encoded. Try again in a few minutes.",
        "Bu belgeler hâlâ kodlanıyor. Birkaç dakika sonra yeniden deneyin.",
    ),
    "error_id": (
        "{id} is no id of the Hub. Expected one such as google-bert/bert-base-uncased.",
        "{id} bir Hub kimliği değil. Beklenen, google-bert/bert-base-uncased gibi bir kimlik.",
    ),
    "error_sandbox": (
        "It could not be read within the limits of time and memory.",
        "Zaman ve bellek sınırları içinde okunamadı.",
    ),
    "error_tokenizer": ("{id} holds no tokenizer that can be read.", "{id} okunabilir bir parçalayıcı içermiyor."),
    "error_hub_tokenizer": (
        "The Hub shows no public tokenizer.json in {id}. Check the id; private and gated ones are not read here.",
        "Hub, {id} için herkese açık bir tokenizer.json göstermiyor. Kimliği denetleyin; özel ve izinli "
        "olanlar burada okunmaz.",
    ),
    "error_dataset": (
        "The Hub shows no public dataset {id} with such a configuration and split, or it could not be reached.",
        "Hub, {id} için böyle açık bir veri kümesi (yapılandırma ve bölümüyle) göstermiyor ya da ona ulaşılamadı.",
    ),
    "error_column": (
        "{id} has no such column; it has: {columns}.",
        "{id} içinde böyle bir sütun yok; olanlar: {columns}.",
    ),
    "error_pdf": ("This PDF cannot be read.", "Bu PDF okunamıyor."),
    "error_kind": ("Expected a file of these kinds: {kinds}.", "Beklenen dosya türleri: {kinds}."),
    "error_large": ("It is larger than {bytes} bytes.", "{bytes} bayttan büyük."),
    "error_binary": (
        "This is no text file: it holds zero bytes.",
        "Bu bir metin dosyası değil: sıfır baytlar içeriyor.",
    ),
    "error_csv": ("This CSV cannot be read: a cell is too long.", "Bu CSV okunamıyor: bir hücre çok uzun."),
    "error_sentences": (
        "{number} sentences were given; expected 2 to {most}.",
        "{number} cümle verildi; 2 ile {most} arası beklenir.",
    ),
    "error_vocabulary": (
        "Expected a vocabulary of {smallest} to {largest} tokens.",
        "Beklenen sözlük boyu {smallest} ile {largest} parça arasıdır.",
    ),
    "error_choice": ("{value} is none of: {choices}.", "{value} şunlardan biri değil: {choices}."),
    "error_defect": (
        "Something went wrong here; it was noted down. Try something else.",
        "Burada bir şeyler ters gitti; kaydedildi. Başka bir şey deneyin.",
    ),
}

# The languages of the sample and of most runs, each in itself.
AUTONYMS: dict[str, str] = {
    "tr": "Türkçe", "en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "it": "Italiano",
    "pt": "Português", "nl": "Nederlands", "sv": "Svenska", "da": "Dansk", "nb": "Norsk bokmål", "fi": "Suomi",
    "pl": "Polski", "cs": "Čeština", "sk": "Slovenčina", "hu": "Magyar", "ro": "Română", "bg": "Български",
    "sr": "Српски", "uk": "Українська", "ru": "Русский", "el": "Ελληνικά", "ar": "العربية", "fa": "فارسی",
    "he": "עברית", "ur": "اردو", "hi": "हिन्दी", "bn": "বাংলা", "ta": "தமிழ்", "az": "Azərbaycanca",
    "kk": "Қазақша", "uz": "Oʻzbekcha", "zh": "中文", "ja": "日本語", "ko": "한국어", "vi": "Tiếng Việt",
    "th": "ไทย", "id": "Bahasa Indonesia", "sw": "Kiswahili", "ca": "Català",
}  # fmt: skip


def translate(lang: str, key: str, **values: object) -> str:
    """Return a text of the page.

    Args:
        lang: en or tr.
        key: which.
        values: what the text names.
    """
    return TEXTS[key][LANGUAGES.index(lang)].format(**values)


def page_language(accepted: str) -> str:
    """Return the language of the page for a browser.

    Args:
        accepted: its Accept-Language header, such as `tr-TR,tr;q=0.9,en;q=0.8`; the first one decides.
    """
    first = accepted.partition(",")[0].partition(";")[0].strip().lower()
    return "tr" if first == "tr" or first.startswith("tr-") else "en"
