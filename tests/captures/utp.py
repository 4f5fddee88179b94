#!/usr/bin/python3
"""A peer of BitTorrent that speaks uTP alone: utp.py seed|leech FOLDER ADDRESS:PORT TORRENT [PEER:PORT]."""

import sys
import time

import libtorrent

role, folder, listen, torrent = sys.argv[1:5]
session = libtorrent.session({
    "listen_interfaces": listen,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_tcp": False, "enable_incoming_tcp": False,
    "out_enc_policy": 2, "in_enc_policy": 2,
})
if role == "seed":
    files = libtorrent.file_storage()
    libtorrent.add_files(files, folder + "/file")
    made = libtorrent.create_torrent(files)
    libtorrent.set_piece_hashes(made, folder)
    data = libtorrent.bencode(made.generate())
    session.add_torrent({"ti": libtorrent.torrent_info(libtorrent.bdecode(data)), "save_path": folder})
    with open(torrent, "wb") as file:
        file.write(data)
    time.sleep(60)
else:
    host, port = sys.argv[5].split(":")
    handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder})
    for _ in range(200):
        handle.connect_peer((host, int(port)))
        if handle.status().is_seeding:
            break
        time.sleep(0.1)
    else:
        sys.exit("it did not come")
    time.sleep(1)
